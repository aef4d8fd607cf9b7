"""Adv-NTK and its baselines: against a dense implementation step by step, in their limits, and resumed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg

from advntk.attacks.entries import pgd
from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import ConfigError, InputError, NotPositiveDefinite
from advntk.foundation.options import Compute
from advntk.foundation.threat import ThreatModel
from advntk.ingredients import grams
from advntk.ingredients.gram_operator import GramOperator
from advntk.ingredients.kernels.engine import make_engine
from advntk.learning import adv_ntk_fit
from advntk.learning.adv_ntk import AdvNtk, StateFile
from advntk.learning.adv_ntk_options import AdvNtkOptions
from advntk.learning.kernel_predictor import KernelPredictor, targets_of
from advntk.learning.method import Task
from advntk.learning.methods import advntk, early_stopped_ntk, early_stopped_refit, ntk, ridge_ntk
from advntk.learning.randomness import batch_indices, stream_seed
from advntk.learning.spectral import SpectralFamily

SPEC = Architecture(family="mlp", depth=3)
CPU = Compute(device="cpu")
THREAT = ThreatModel(eps255=16)


@pytest.fixture(scope="module")
def gram_path(digits_split, tmp_path_factory):
    path = tmp_path_factory.mktemp("gram") / "gram.npy"
    grams.build_gram(digits_split, SPEC, out=path, compute=CPU, threads=1)
    return path


def task(split, gram, folder, options):
    return Task(split=split, spec=SPEC, threat=THREAT, options=options, seed=0, compute=CPU, gram=gram, workdir=folder)


def problem(split, gram, **options):
    return AdvNtk(
        operator=GramOperator(grams.open_gram(gram, split, SPEC), device="cpu"),
        kernel=make_engine(SPEC, split.input_shape, device="cpu").bind(split.opt.images, memory_mb=500),
        targets=targets_of(split.opt, 10),
        options=AdvNtkOptions(**options),
    )


def given_batches(split, seed=0):
    """Explicit inputs: val images with noise instead of an attack, the same for every implementation."""
    noise = THREAT.random_offsets(split.val.images.shape, np.random.default_rng(seed))
    images = THREAT.project(split.val.images + noise, split.val.images)

    def inputs(step, coef):
        chosen = batch_indices(len(images), 32, step, 9)
        return images[chosen], np.eye(10)[split.val.labels[chosen]]

    return inputs


@pytest.mark.parametrize("diagonal", ["shared", "per_class"])
def test_training_follows_the_dense_form_step_by_step(digits_split, gram_path, diagonal):
    """The definition in float64 JAX: dense expm and inverse, autodiff through |ϖ| with derivative +1 at 0."""
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp

    steps, rate = 8, 0.3
    ours = problem(digits_split, gram_path, diagonal=diagonal, steps=steps, tolerance=1e-12)
    inputs = given_batches(digits_split)
    trajectory = ours.train(inputs, rate)

    theta = jnp.asarray(np.array(grams.open_gram(gram_path, digits_split, SPEC)), jnp.float64)
    inverse, y = jnp.linalg.inv(theta), jnp.asarray(ours.targets)

    @jax.jit
    def coef(varpi):
        size = jnp.where(varpi < 0, -varpi, varpi)

        def one(d, column):
            return inverse @ ((jnp.eye(len(theta)) - jax.scipy.linalg.expm(-theta * d[None, :])) @ column)

        if varpi.ndim == 1:
            return one(size, y)
        return jax.vmap(one, in_axes=1, out_axes=1)(size, y)

    @jax.jit
    def step(varpi, rows, target):
        def loss(v):
            return 0.5 * jnp.sum((rows @ coef(v) - target) ** 2) / len(rows)

        slope = jax.grad(loss)(varpi)
        return varpi - rate * slope / (jnp.linalg.norm(slope) + 1e-8)

    varpi = jnp.zeros_like(jnp.asarray(trajectory.varpi[0]))
    for k in range(steps):
        images, target = inputs(k, None)
        varpi = step(varpi, jnp.asarray(ours.kernel.rows(images), jnp.float64), jnp.asarray(target))
    np.testing.assert_allclose(trajectory.varpi[-1], varpi, atol=1e-7 * np.abs(varpi).max())
    np.testing.assert_allclose(ours.solve(trajectory.varpi[-1]).coef, coef(varpi), atol=1e-6)


def test_training_lowers_the_attacked_loss_and_is_recorded(digits_split, gram_path, tmp_path):
    options = AdvNtkOptions(steps=12, batch=60, report_every=4)
    fit = advntk.fit(task(digits_split, gram_path, tmp_path, options))
    loss = fit.arrays["trajectory.loss"]
    assert loss[0] == pytest.approx(0.5)
    assert loss[-1] < 0.6 * loss[0]
    assert fit.arrays["trajectory.varpi"].shape == (13, 120)
    assert (fit.arrays["trajectory.error"] <= options.tolerance).all()
    assert {row["step"] for row in fit.curves} == {0, 4, 8, 12}
    assert {row["split"] for row in fit.curves} == {"train", "val", "test"}
    val = [row for row in fit.curves if row["split"] == "val"]
    best = max(val, key=lambda row: (row["robust_accuracy"], -row["robust_loss"], -row["step"]))
    assert fit.checkpoints == {"last": {"step": 12}, "best_val": {"step": best["step"]}}
    # kept until the fit is written: a full disk must not lose a training
    assert list(fit.states) == list(tmp_path.iterdir())
    assert fit.timing.keys() == {"solve_s", "attack_s", "gradient_s", "curves_s", "timed_steps"}
    assert min(fit.timing.values()) > 0
    assert fit.timing["timed_steps"] == 12
    again = advntk.fit(task(digits_split, gram_path, tmp_path, options))
    np.testing.assert_array_equal(again.arrays["coef.last"], fit.arrays["coef.last"])


def test_test_images_never_change_a_fit(digits_split, gram_path, tmp_path):
    import dataclasses

    shuffled = dataclasses.replace(
        digits_split, test=dataclasses.replace(digits_split.test, labels=digits_split.test.labels[::-1])
    )
    for method, options in (
        (advntk, AdvNtkOptions(steps=3, batch=30, report_every=1)),
        (early_stopped_ntk, early_stopped_ntk.Options(decades=1, halvings=1)),
        (ridge_ntk, ridge_ntk.Options(decades=1, halvings=1)),
    ):
        one, two = (method.ENTRY.fit(task(s, gram_path, tmp_path, options)) for s in (digits_split, shuffled))
        assert one.checkpoints == two.checkpoints
        for name, array in one.arrays.items():
            np.testing.assert_array_equal(array, two.arrays[name])


def test_a_killed_training_goes_on_bit_for_bit(digits_split, gram_path, tmp_path):
    ours = problem(digits_split, gram_path, steps=6)
    inputs = given_batches(digits_split)
    whole = ours.train(inputs, 1.0)

    def dying(step, coef):
        if step == 4:
            raise KeyboardInterrupt
        return inputs(step, coef)

    state = StateFile(tmp_path / "state.npz", "same", every_s=0)
    with pytest.raises(KeyboardInterrupt):
        ours.train(dying, 1.0, state=state)
    seen = []

    def watching(step, coef):
        seen.append(step)
        return inputs(step, coef)

    resumed = ours.train(watching, 1.0, state=state)
    assert seen == [4, 5]
    np.testing.assert_array_equal(np.stack(resumed.varpi), np.stack(whole.varpi))
    assert resumed.loss == whole.loss
    assert StateFile(tmp_path / "state.npz", "other").read() is None
    (tmp_path / "state.npz").write_bytes(b"broken")
    assert state.read() is None


def test_a_state_is_of_its_matrix_images_device_code_and_versions(digits_split, gram_path, tmp_path, monkeypatch):
    """A trajectory is resumed only where all of these are the same."""
    copied = tmp_path / "gram.npy"
    for suffix in (".npy", ".json"):
        copied.with_suffix(suffix).write_bytes(gram_path.with_suffix(suffix).read_bytes())
    job = task(digits_split, copied, tmp_path, AdvNtkOptions(batch=60))

    def told(job=job):
        return adv_ntk_fit._fingerprint(job, "numba", 1.0)

    found = [told(), told(replace(job, images="all"))]
    facts = json.loads(copied.with_suffix(".json").read_text())
    facts["provenance"]["content"] = "of other numbers"
    copied.with_suffix(".json").write_text(json.dumps(facts))
    found.append(told())
    for name, other in [
        ("jax_device", lambda device: "gpu"),
        ("versions", lambda *names: dict.fromkeys(names, "another")),
        # an edited family: layers come through the registry
        ("code_digest", lambda *modules: str([name for name in modules if name.endswith("families.mlp")])),
    ]:
        monkeypatch.setattr(adv_ntk_fit, name, other)
        found.append(told())
    monkeypatch.setattr(adv_ntk_fit, "code_digest", lambda *modules: "[]")
    found.append(told())
    assert len(set(found)) == len(found)


def test_a_list_of_rates_is_searched_on_val(digits_split, gram_path, tmp_path):
    options = AdvNtkOptions(steps=4, batch=60, learning_rate=[1e-4, 1.0], report_every=4)
    fit = advntk.fit(task(digits_split, gram_path, tmp_path, options))
    assert fit.training["learning_rate"] == 1.0


def test_a_batch_larger_than_val_is_refused(digits_split, gram_path, tmp_path):
    with pytest.raises(ConfigError, match="batch 128 is more than the 60 images of val"):
        advntk.fit(task(digits_split, gram_path, tmp_path, AdvNtkOptions()))


def test_training_under_the_reference_codes_attack_leaves_the_threat_model(digits_split, gram_path, tmp_path):
    """PGD stays within ε of the clean images; the reference code's attack goes beyond and is another training."""
    sizes, coefs = {}, {}
    for kind in ("pgd", "reference_fixed_gradient"):
        options = AdvNtkOptions(steps=3, batch=60, training_attack=kind)
        job = task(digits_split, gram_path, tmp_path, options)
        given = problem(digits_split, gram_path, **options.model_dump())
        coefs[kind] = given.solve(np.full(120, 0.1)).coef
        attacked, _ = adv_ntk_fit.attacked_batches(given, job)(0, coefs[kind])
        clean = digits_split.val.images[batch_indices(60, 60, 0, stream_seed(0, "advntk batches"))]
        sizes[kind] = 255 * np.abs(attacked - clean).max()
        coefs[kind] = advntk.fit(job).arrays["coef.last"]
    assert sizes["pgd"] <= THREAT.eps255 * (1 + 1e-5)
    assert 1.5 * THREAT.eps255 < sizes["reference_fixed_gradient"] <= 2 * THREAT.eps255 * (1 + 1e-5)
    assert not np.allclose(coefs["pgd"], coefs["reference_fixed_gradient"], rtol=1e-3)


def test_ntk_is_the_exact_solution_and_the_limit_of_early_stopping(digits_split, gram_path, tmp_path):
    fit = ntk.fit(task(digits_split, gram_path, tmp_path, ntk.Options()))
    theta = np.array(grams.open_gram(gram_path, digits_split, SPEC), dtype=np.float64)
    targets = targets_of(digits_split.opt, 10)
    np.testing.assert_allclose(fit.arrays["coef.final"], np.linalg.solve(theta, targets), rtol=1e-7, atol=1e-9)
    assert fit.arrays["relative_residual"] < 1e-10
    np.testing.assert_allclose(fit.arrays["condition"], np.linalg.cond(theta, 1), rtol=0.9)  # an estimate
    family = SpectralFamily.of_times(GramOperator(theta, device="cpu"), targets, 1e9)
    np.testing.assert_allclose(family.flow(1e9), fit.arrays["coef.final"], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(family.ridge(0.0), fit.arrays["coef.final"], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(family.flow(1e-9), 1e-9 * targets, rtol=1e-5, atol=1e-14)


def test_the_stopping_time_is_the_best_on_val(digits_split, gram_path, tmp_path):
    options = early_stopped_ntk.Options(decades=2, halvings=2)
    fit = early_stopped_ntk.stopped_on_val(task(digits_split, gram_path, tmp_path, options))
    accuracies = [row["robust_accuracy"] for row in fit.curves]
    best = next(row for row in fit.curves if row["step"] == fit.checkpoints["final"]["t"])
    assert best["robust_accuracy"] == max(accuracies)
    assert len(fit.curves) <= 9 + 4
    assert {row["split"] for row in fit.curves} == {"val"}


def test_the_refit_is_the_dense_form_on_opt_and_val_at_the_time_that_opt_alone_had(digits_split, tmp_path):
    grams.build_gram(digits_split, SPEC, images="all", out=tmp_path / "all.npy", compute=CPU, threads=1)
    options = early_stopped_ntk.Options(decades=2, halvings=1)
    given = replace(task(digits_split, tmp_path / "all.npy", tmp_path, options), images="all")
    fit, alone = early_stopped_refit.fit(given), early_stopped_ntk.stopped_on_val(replace(given, images="opt"))
    assert fit.checkpoints == alone.checkpoints
    assert fit.curves == alone.curves
    t = fit.checkpoints["final"]["t"]
    theta = np.array(grams.open_gram(tmp_path / "all.npy", digits_split, SPEC, "all"), dtype=np.float64)
    labels = np.concatenate([digits_split.opt.labels, digits_split.val.labels])
    dense = np.linalg.solve(theta, np.eye(len(theta)) - scipy.linalg.expm(-t * theta)) @ np.eye(10)[labels]
    np.testing.assert_allclose(fit.arrays["coef.final"], dense, atol=1e-7 * np.abs(dense).max())
    assert len(alone.arrays["coef.final"]) == len(digits_split.opt) < len(dense)


def test_the_refit_refuses_what_it_cannot_be_made_from_before_it_searches(
    digits_split, gram_path, tmp_path, monkeypatch
):
    monkeypatch.setattr(early_stopped_refit, "stopped_on_val", lambda task: pytest.fail("searched"))
    given = task(digits_split, gram_path, tmp_path, early_stopped_ntk.Options())
    with pytest.raises(ConfigError, match=r"trains on all training images, not on opt; give --images all"):
        early_stopped_refit.fit(given)
    with pytest.raises(InputError, match="is of 120 images, not of 180"):
        early_stopped_refit.fit(replace(given, images="all"))


def test_a_ridge_and_a_singular_kernel():
    singular = np.ones((5, 5))
    with pytest.raises(NotPositiveDefinite, match=r"set ridge"):
        ntk.ridge_solution(singular - 0.1 * np.eye(5), np.eye(5), 0.0)
    coef, _ = ntk.ridge_solution(np.ones((5, 5)), np.eye(5), 0.5)
    np.testing.assert_allclose((np.ones((5, 5)) + 0.5 * np.eye(5)) @ coef, np.eye(5), atol=1e-12)


def test_batches_are_whole_and_even():
    drawn = np.concatenate([batch_indices(10, 4, step, 0) for step in range(5)])
    np.testing.assert_array_equal(np.bincount(drawn), np.full(10, 2))
    np.testing.assert_array_equal(batch_indices(10, 4, 3, 0), batch_indices(10, 4, 3, 0))
    assert len(batch_indices(10, 25, 1, 0)) == 25
    assert stream_seed(0, "evaluate") != stream_seed(0, "select") != stream_seed(1, "select")


def test_attacking_a_zero_predictor_stays_at_the_start(digits_split, gram_path):
    """At ϖ = 0 every gradient is zero: the attacked batch is the random start, as in the reference code."""
    ours = problem(digits_split, gram_path)
    predictor = KernelPredictor(ours.kernel, np.zeros((120, 10)), digits_split.input_shape)
    part = digits_split.val.first(10)
    found = pgd.run(predictor, part.images, part.labels, options=pgd.Options(), threat=THREAT, seed=2).images
    start = part.images + THREAT.random_offsets(part.images.shape, np.random.default_rng([2, 0]))
    np.testing.assert_allclose(found, THREAT.project(start, part.images), atol=1e-7)


def test_a_normalised_kernel_takes_the_rate_in_units_of_its_diagonal(digits_split, gram_path, tmp_path):
    """Against training on the divided matrix itself: same loss, ϖ larger by the factor that Θ is smaller."""
    options = AdvNtkOptions(steps=3, batch=60, learning_rate=2.0, normalize=True, report_every=3)
    fit = advntk.fit(task(digits_split, gram_path, tmp_path, options))
    gram = np.array(grams.open_gram(gram_path, digits_split, SPEC), np.float64)
    scale = np.diagonal(gram).mean()

    class Divided:
        """The kernel divided by the mean diagonal, attacked as the plain one is."""

        def __init__(self, kernel):
            self.kernel = kernel

        def rows(self, images):
            return self.kernel.rows(images) / scale

    plain = problem(digits_split, gram_path)
    divided = AdvNtk(
        operator=GramOperator(gram / scale, device="cpu"),
        kernel=Divided(plain.kernel),
        targets=plain.targets,
        options=options,
    )
    inputs = adv_ntk_fit.attacked_batches(plain, task(digits_split, gram_path, tmp_path, options))
    trajectory = divided.train(lambda step, coef: inputs(step, coef / scale), 2.0)
    assert fit.training["step_length"] == pytest.approx(2.0 / scale)
    np.testing.assert_allclose(fit.arrays["trajectory.loss"], trajectory.loss, rtol=1e-5)
    np.testing.assert_allclose(fit.arrays["trajectory.varpi"][-1] * scale, trajectory.varpi[-1], rtol=1e-4, atol=1e-6)
