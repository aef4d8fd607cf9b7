"""Attacks in chunks: made once, made again where they do not belong, gathered in order; sweeps and transfers."""

from __future__ import annotations

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from advntk.attacks.attack import BROKEN, NOT_TRIED, ROBUST, Attack, Attacked
from advntk.attacks.entries import autoattack, pgd
from advntk.attacks.named import NamedAttack
from advntk.foundation import files, provenance
from advntk.foundation.attack_options import AttackOptions
from advntk.foundation.errors import ConfigError, InputError, NumericalError
from advntk.foundation.options import Closed, Compute
from advntk.foundation.strength import read_sweep, read_transfer
from advntk.foundation.threat import ThreatModel
from advntk.learning import search
from advntk.learning.fits import read_fit
from advntk.learning.loading import load_checkpoint, split_of
from advntk.measuring import evaluate, sweep
from advntk.measuring import transfer as transfers
from advntk.measuring.chunks import ChunkedAttack
from advntk.measuring.evaluate import evaluate_fit
from advntk.measuring.sweep import sweep_fit
from advntk.measuring.transfer import transfer
from tests.measuring.small import ntk_fits

THREAT = ThreatModel(eps255=16)
COMPUTE = Compute(device="cpu")


class Options(Closed):
    chunks: int = 3
    steps: int = 5


class Recording:
    """A chunked attack of two stages that remembers what it was run on, and can be told to die once."""

    def __init__(self):
        self.seen, self.die_on = [], None

    def __call__(self, predictor, images, labels, *, options, threat, seed, state):
        if self.die_on == len(self.seen):
            self.die_on = None
            raise KeyboardInterrupt
        self.seen.append((len(images), seed, state))
        settings = {"options": pgd.Options(steps=options.steps, loss="margin"), "threat": threat, "seed": seed}
        found = pgd.run(predictor, images, labels, **settings).images
        clean = predictor.logits(images).argmax(axis=1) == labels
        right = predictor.logits(found).argmax(axis=1) == labels
        first = np.where(clean, np.where(right, ROBUST, BROKEN), NOT_TRIED).astype(np.int8)
        second = np.where(first == ROBUST, ROBUST, NOT_TRIED).astype(np.int8)
        return Attacked(images=found, stages={"first": first, "second": second}, flags=("a doubt",))


@pytest.fixture
def recording():
    return Recording()


@pytest.fixture
def entry(recording):
    return Attack(options=Options, run=recording, inside_threat_model=True, description="", resumable=recording)


@pytest.fixture(scope="module")
def fits(digits_split, tmp_path_factory):
    """NTK fits of two depths on one split."""
    return ntk_fits(digits_split, tmp_path_factory.mktemp("fits"), 2, 3)


def named(entry, options):
    return NamedAttack(name="it", kind="pgd", entry=entry, options=options)


def chunked(fit, entry, folder, **options):
    return ChunkedAttack(
        fit=fit, attack=named(entry, Options(**options)), threat=THREAT, chunks=folder, compute=COMPUTE
    )


def evaluated(fit, entry, out, options=None, **settings):
    where = {"threat": THREAT, "out": out, "compute": COMPUTE, "threads": 1}
    return evaluate_fit(fit, attack=named(entry, options or entry.options()), **where, **settings)


def test_chunks_cover_the_test_images_in_order(fits, entry, recording, tmp_path):
    found, seconds = chunked(fits[0], entry, tmp_path).gather("final")
    assert [count for count, _, _ in recording.seen] == [34, 33, 33]
    assert len({state for _, _, state in recording.seen}) == 3
    assert found.images.shape[0] == len(found.stages["first"]) == 100
    assert found.flags == ("a doubt",)
    assert seconds > 0


def test_no_choice_draws_the_random_points_of_an_evaluation(fits, entry, recording, tmp_path, monkeypatch):
    content, _ = read_fit(fits[0])
    drawn, val = [], split_of(fits[0], content).val
    monkeypatch.setattr(search, "random_starts", lambda images, threat, seed: drawn.append(seed))
    options = SimpleNamespace(attack=AttackOptions())
    search.Selection.of(SimpleNamespace(monitors={"val": val}, options=options, threat=THREAT, seed=content.seed))
    chunked(fits[0], entry, tmp_path).ensure(0)
    assert drawn
    assert recording.seen[0][1] not in drawn


def test_a_chunk_is_made_once_and_again_when_it_does_not_belong(fits, entry, recording, tmp_path):
    chunked(fits[0], entry, tmp_path).gather("final")
    chunked(fits[0], entry, tmp_path).gather("final")
    assert len(recording.seen) == 3
    chunked(fits[0], entry, tmp_path, steps=4).ensure(1)
    assert len(recording.seen) == 4
    chunked(fits[1], entry, tmp_path).ensure(0)
    assert len(recording.seen) == 5


def test_a_chunk_is_made_again_by_another_version_of_the_library_it_runs(fits, entry, recording, tmp_path, monkeypatch):
    def ensure(attack):
        chunked(fits[0], attack, tmp_path).ensure(0)
        return len(recording.seen)

    with_library = replace(entry, libraries=("pyautoattack",))
    assert (ensure(entry), ensure(with_library), ensure(with_library)) == (1, 2, 2)
    monkeypatch.setattr(provenance, "versions", lambda *names: dict.fromkeys(names, "0.0"))
    assert ensure(with_library) == 3
    assert ensure(entry) == 4  # an attack without libraries: the digest of the first, not of any version
    monkeypatch.undo()
    assert ensure(entry) == 4
    assert autoattack.ENTRY.libraries == ("pyautoattack",)


def test_an_evaluation_killed_in_a_chunk_goes_on_with_the_same_result(fits, entry, recording, tmp_path):
    whole = evaluated(fits[0], entry, tmp_path / "whole.json")
    recording.die_on = len(recording.seen) + 1
    with pytest.raises(KeyboardInterrupt):
        evaluated(fits[0], entry, tmp_path / "killed.json")
    before = len(recording.seen)
    again = evaluated(fits[0], entry, tmp_path / "killed.json")
    assert len(recording.seen) == before + 2
    assert again.evaluations == whole.evaluations


def test_stages_are_counted_and_kept_for_each_example(fits, entry, tmp_path):
    record = evaluated(fits[0], entry, tmp_path / "it.json")
    evaluation = record.evaluations["final"]
    first, second = evaluation.stages
    assert first.tried == evaluation.clean_correct
    assert second.tried == first.tried - first.broken
    assert first.robust_after == second.robust_after == evaluation.robust_accuracy
    assert "a doubt" in evaluation.flags
    outcomes = files.read_npz(tmp_path / "it.npz")
    assert (outcomes["final.stage.first"] == BROKEN).sum() == first.broken


def test_a_record_tells_where_its_chunks_were_made_and_which_fit_it_is_about(fits, entry, tmp_path, monkeypatch):
    """Chunks may be jobs of their own, on other nodes."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    chunked(fits[0], entry, tmp_path / "it.chunks").ensure(1)
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    made = evaluated(fits[0], entry, tmp_path / "it.json").provenance
    assert made["job"] == "8"
    assert [chunk["job"] for chunk in made["chunks"]] == ["8", "7", "8"]
    assert all({"host", "device", "threads", "environment", "finished"} <= chunk.keys() for chunk in made["chunks"])
    fit = files.read_json(fits[0] / "fit.json")
    assert made["inputs"] == {"fit": fit["provenance"]["content"]}
    assert (tmp_path / made["places"]["fit"]).resolve() == (fits[0] / "fit.json").resolve()
    assert "chunks" not in evaluated(fits[0], pgd.ENTRY, tmp_path / "whole.json", pgd.Options()).provenance


def test_code_is_told_as_it_was_when_the_job_began(fits, tmp_path, monkeypatch):
    """A checkout that changes under a running job must not put the new code's digest on the old code's numbers."""
    told = []

    def running(predictor, images, labels, **settings):
        monkeypatch.setattr(provenance, "code_digest", lambda *modules: "edited")
        told.append(provenance.sources("advntk.attacks.entries.pgd"))
        return Attacked(images=images)

    attack = Attack(options=pgd.Options, run=running, inside_threat_model=True, description="")
    made = evaluated(fits[0], attack, tmp_path / "it.json").provenance
    assert told[0] == {"advntk.attacks.entries.pgd": "edited"}
    assert set(made["sources"]) == {
        "advntk.measuring.evaluate",
        "advntk.attacks.entries.pgd",
        "advntk.foundation.losses.squared_error",
        "advntk.learning.methods.ntk",
        "advntk.ingredients.networks.families.mlp",
    }
    assert "edited" not in made["sources"].values()


def test_wrong_chunks_are_refused(fits, entry, tmp_path):
    with pytest.raises(ConfigError, match="no chunk 3; give 0 to 2"):
        chunked(fits[0], entry, tmp_path).ensure(3)
    with pytest.raises(ConfigError, match="101 chunks of 100 test images"):
        chunked(fits[0], entry, tmp_path, chunks=101).ensure(0)


def swept(fit, kind, values, out, **options):
    where = {"threat": THREAT, "out": out, "compute": COMPUTE, "threads": 1}
    return sweep_fit(fit, kind=kind, values=values, attack=named(pgd.ENTRY, pgd.Options(**options)), **where)


def test_a_sweep_over_the_radius_starts_clean_and_ends_where_none_is_robust(fits, tmp_path):
    sweep = swept(fits[0], "radius", [0, 8, 64, 128, 255], tmp_path / "radius.json", loss="margin")
    accuracies = [point.robust_accuracy for point in sweep.points]
    assert sweep.points[0].robust_correct == sweep.clean_correct
    assert accuracies == sorted(accuracies, reverse=True)
    assert accuracies[-1] == 0
    assert all(accuracy > 0 for accuracy in accuracies[:-1])
    assert read_sweep(tmp_path / "radius.json") == sweep
    assert "advntk.measuring.sweep" in sweep.provenance["sources"]
    assert sweep.provenance["inputs"] == {"fit": files.read_json(fits[0] / "fit.json")["provenance"]["content"]}
    robust = files.read_npz(tmp_path / "radius.npz")["robust"]
    np.testing.assert_array_equal(robust.sum(axis=1), [point.robust_correct for point in sweep.points])


def test_sweeps_over_steps_and_restarts_vary_the_option(fits, tmp_path):
    steps = swept(fits[0], "steps", [1, 10], tmp_path / "steps.json", loss="margin", step_ratio=0.2)
    assert steps.points[1].robust_correct < steps.points[0].robust_correct
    single = evaluated(fits[0], pgd.ENTRY, tmp_path / "one.json", pgd.Options(loss="margin", steps=1))
    assert single.evaluations["final"].robust_correct == steps.points[0].robust_correct
    restarts = swept(fits[0], "restarts", [1, 3], tmp_path / "restarts.json", steps=3)
    assert restarts.points[1].robust_correct <= restarts.points[0].robust_correct


def test_transfer_is_the_evaluation_on_the_diagonal(fits, tmp_path):
    records = [tmp_path / f"{index}.json" for index in range(2)]
    made = [
        evaluated(fit, pgd.ENTRY, out, pgd.Options(loss="margin"), keep_images=True)
        for fit, out in zip(fits, records, strict=True)
    ]
    result = transfer(records, fits, out=tmp_path / "transfer.json", compute=COMPUTE, threads=1)
    assert read_transfer(tmp_path / "transfer.json") == result
    contents = [files.read_json(fit / "fit.json")["provenance"]["content"] for fit in fits]
    assert result.provenance["inputs"] == {"fits": contents}
    assert set(result.provenance["sources"]) == {
        "advntk.measuring.transfer",
        "advntk.learning.methods.ntk",
        "advntk.ingredients.networks.families.mlp",
    }
    for index, record in enumerate(made):
        evaluation = record.evaluations["final"]
        assert result.clean_correct[index] == evaluation.clean_correct
        assert result.robust_correct[index][index] == evaluation.robust_correct
    test = split_of(fits[0], read_fit(fits[0])[0]).test
    for source, target in ((0, 1), (1, 0)):
        predictor = load_checkpoint(fits[target], "final", COMPUTE)
        shown = files.read_npz(records[source].with_suffix(".npz"))["final.images"]
        right = [predictor.logits(images).argmax(axis=1) == test.labels for images in (test.images, shown)]
        assert result.robust_correct[source][target] == (right[0] & right[1]).sum()
    assert result.robust_correct[0][1] != result.robust_correct[1][0]
    # what was made against one harms the other less than it harms its own
    assert result.robust_correct[0][1] >= result.robust_correct[1][1]


def test_transfer_takes_numba_kernels_beside_networks_on_a_gpu(fits, tmp_path):
    evaluated(fits[0], pgd.ENTRY, tmp_path / "0.json", pgd.Options(), keep_images=True)
    compute = Compute(device="gpu", kernel_engine="numba")  # of a suite with networks: the job asks for a GPU
    transfer([tmp_path / "0.json"], fits[:1], out=tmp_path / "transfer.json", compute=compute, threads=1)
    assert compute.of_kind("network") is compute
    automatic = Compute(device="gpu")
    assert automatic.of_kind("kernel") is automatic


def test_transfer_needs_images_of_one_attack(fits, tmp_path):
    records = [tmp_path / f"{index}.json" for index in range(2)]
    evaluated(fits[0], pgd.ENTRY, records[0], pgd.Options())
    evaluated(fits[1], pgd.ENTRY, records[1], pgd.Options(loss="margin"))
    with pytest.raises(InputError, match="its attack is not that of"):
        transfer(records, fits, out=tmp_path / "t.json", compute=COMPUTE, threads=1)
    with pytest.raises(InputError, match="no images of 'final'"):
        transfer(records[:1], fits[:1], out=tmp_path / "t.json", compute=COMPUTE, threads=1)


def test_transfer_needs_each_record_with_its_own_fit(fits, tmp_path):
    records = [tmp_path / f"{index}.json" for index in range(2)]
    for fit, out in zip(fits, records, strict=True):
        evaluated(fit, pgd.ENTRY, out, pgd.Options(), keep_images=True)
    with pytest.raises(InputError, match="its architecture is not that of the fit in"):
        transfer(records, fits[::-1], out=tmp_path / "t.json", compute=COMPUTE, threads=1)


def refitted(fit, copy):
    """The same fit but for its arrays, as other options of the method would give."""
    shutil.copytree(fit, copy)
    arrays = files.read_npz(copy / "fit.npz")
    files.write_npz(copy / "fit.npz", arrays | {name: 1.01 * array for name, array in arrays.items()})
    content = files.read_json(copy / "fit.json")
    content["split"] = str((fit / content["split"]).resolve())
    files.write_json(copy / "fit.json", content)
    return copy


def test_transfer_needs_each_record_to_be_about_the_fit_as_it_is_now(fits, tmp_path):
    """A method fitted again with other options has the same name, network, seed and split."""
    record, where = tmp_path / "it.json", {"out": tmp_path / "t.json", "compute": COMPUTE, "threads": 1}
    evaluated(fits[0], pgd.ENTRY, record, pgd.Options(), keep_images=True)
    with pytest.raises(InputError, match=r"it\.json: it is not about the fit in .*again as it is now; evaluate"):
        transfer([record], [refitted(fits[0], tmp_path / "again")], **where)
    content = files.read_json(record)
    del content["provenance"]["inputs"]
    files.write_json(record, content)
    with pytest.raises(InputError, match="it is not about the fit in"):
        transfer([record], fits[:1], **where)
    assert not where["out"].exists()


class Spoiled:
    """A predictor whose logits are NaN on all images but the known ones; ``argmax`` would take NaN for class 0."""

    def __init__(self, inner, known):
        self.inner, self.known = inner, known
        self.classes, self.input_shape, self.native = inner.classes, inner.input_shape, inner.native
        self.loss_and_gradient, self.linearize = inner.loss_and_gradient, inner.linearize

    def logits(self, images):
        logits = self.inner.logits(images)
        return logits if np.array_equal(images, self.known) else np.full_like(logits, np.nan)


@pytest.fixture
def spoiled(monkeypatch, digits_split):
    """Every checkpoint gets spoiled when it is loaded."""

    def load(*args):
        return Spoiled(load_checkpoint(*args), digits_split.test.images)

    for module in (evaluate, sweep, transfers):
        monkeypatch.setattr(module, "load_checkpoint", load)


@pytest.mark.usefixtures("spoiled")
def test_nan_logits_end_evaluations_and_sweeps_and_name_the_predictor(fits, tmp_path):
    message = f"checkpoint 'final' of {fits[0]}: NaN or infinite logits on 100 of 100 attacked images"
    with pytest.raises(NumericalError, match=message):
        evaluated(fits[0], pgd.ENTRY, tmp_path / "it.json")
    with pytest.raises(NumericalError, match=message):
        swept(fits[0], "radius", [8], tmp_path / "radius.json")
    assert not list(tmp_path.iterdir())


def test_nan_logits_end_a_transfer_and_name_the_predictor(fits, tmp_path, request):
    evaluated(fits[0], pgd.ENTRY, tmp_path / "0.json", keep_images=True)
    request.getfixturevalue("spoiled")
    message = f"checkpoint 'final' of {fits[0]}: NaN or infinite logits on 100 of 100 attacked images"
    with pytest.raises(NumericalError, match=message):
        transfer([tmp_path / "0.json"], fits[:1], out=tmp_path / "t.json", compute=COMPUTE, threads=1)
    assert not (tmp_path / "t.json").exists()


def test_what_a_stage_broke_is_never_robust(fits, entry, recording, tmp_path):
    """Even where the logits of another batch round to the right class again."""
    inner = recording.__call__

    def lenient(predictor, images, labels, **settings):
        found = inner(predictor, images, labels, **settings)
        return Attacked(images=images, stages=found.stages)

    soft = Attack(options=Options, run=lenient, inside_threat_model=True, description="", resumable=lenient)
    evaluation = evaluated(fits[0], soft, tmp_path / "it.json").evaluations["final"]
    assert evaluation.robust_correct == evaluation.clean_correct - evaluation.stages[0].broken
    assert evaluation.stages[0].broken > 0


def test_a_file_of_another_kind_is_refused(tmp_path):
    files.write_json(tmp_path / "x.json", {"schema_version": "advntk-transfer-1"})
    with pytest.raises(InputError, match="not a sweep"):
        read_sweep(tmp_path / "x.json")
    with pytest.raises(InputError, match="not a transfer"):
        read_transfer(tmp_path / "x.json")
