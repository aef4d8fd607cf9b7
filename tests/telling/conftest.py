"""A synthetic suite: records, outcomes and curves with known means, and the file that lists them."""

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest

from advntk.foundation import files, paths
from advntk.foundation.config import SuiteConfig
from advntk.foundation.records import AttackRecord, Evaluation, Record, Stage, write_record
from advntk.foundation.statistics import wilson
from advntk.foundation.threat import ThreatModel
from advntk.step import steps

CHECKPOINTS = {"at": ("last", "best_val"), "advntk": ("last", "best_val")}
STRENGTH = {"ntk": 0.25, "early_stopped_ntk": 0.7, "advntk": 0.75, "at": 0.85}
OPTIONS = {"loss": "squared_error", "steps": 10, "step_ratio": 0.2, "random_start": True}
PLAIN = {"restarts": 1, "keep": "final", "schedule": "constant", "targets": 0}
REPORTS = {"report_attack": {"steps": 10, "loss": "squared_error"}}
QUICK = {
    "suite": "quick",
    "seeds": 2,
    "datasets": ["digits"],
    "architectures": [{"family": "mlp", "depth": 3}, {"family": "mlp", "depth": 5}, {"family": "cnn", "depth": 3}],
    "methods": ["ntk", "early_stopped_ntk", "advntk", "at"],
    "eps255": [16, 32],
    "attacks": ["pgd"],
    "network": {"width": {"mlp": 256, "cnn": 32}},
}


def place_of(step, **wildcards):
    """Where the JSON file of a job's result lies."""
    found = steps()[step]
    return found.outputs[found.told[0]].format(**wildcards)


def placed(results):
    """Results as a suite holds them."""
    found = {}
    for one in results:
        found.setdefault(type(one), []).append(("somewhere", one))
    return found


class Builder:
    """Writes the records, outcomes, curves, fits and Gram files of a configuration, and then ``suite.json``."""

    def __init__(self, folder, n_test=400, **changes):
        self.config = SuiteConfig(**{**QUICK, **changes})
        self.folder, self.n_test = folder, n_test
        self.paths, self.curves, self.fits, self.grams, self.checks = [], [], [], [], []
        self.network_options = {}
        self.moved = {}  # by method, what twice the updates change of robust accuracy on val
        self.flags, self.provenance, self.shared = {}, {}, False
        self.attack_options = {"pgd_margin": {"loss": "margin"}}

    def rates(self, spec, method, checkpoint, attack, eps255):
        clean = 0.97 - 0.01 * spec.depth - 0.04 * STRENGTH.get(method, 0.5) * eps255 / 16
        drop = (
            1 - STRENGTH.get(method, 0.5) + 0.03 * (checkpoint == "best_val") - 0.04 * self.config.attacks.index(attack)
        )
        return clean, clean * max(0.05, 1 - drop * (eps255 / 20) ** 0.8 - 0.01 * spec.depth)

    def stages(self, clean_count, robust_count):
        """The first stage breaks half of what both break, rounded down."""
        first = (clean_count - robust_count) // 2
        rest = clean_count - robust_count - first
        return [
            Stage(name="apgd-ce", tried=clean_count, broken=first, robust_after=(clean_count - first) / self.n_test),
            Stage(name="square", tried=clean_count - first, broken=rest, robust_after=robust_count / self.n_test),
        ]

    def record(self, dataset, spec, method, eps255, attack, seed, /, **changes):
        place = place_of(
            "evaluate",
            root=self.folder,
            dataset=dataset,
            seed=seed,
            architecture=spec.label,
            method=method,
            eps255=paths.radius_name(eps255),
            attack=attack,
        )
        evaluations, arrays = {}, {}
        outside = attack == "reference_fixed_gradient"
        size = 2 * eps255 if outside else eps255
        for checkpoint in CHECKPOINTS.get(method, ("final",)):
            clean_rate, robust_rate = self.rates(spec, method, checkpoint, attack, eps255)
            clean_count = min(round(self.n_test * clean_rate) + 4 * seed, self.n_test)
            robust_count = max(round(self.n_test * robust_rate) - 6 * seed, 0)
            order = np.random.default_rng(seed).permutation(self.n_test)
            arrays[f"{checkpoint}.clean"] = order < clean_count
            arrays[f"{checkpoint}.robust"] = order < robust_count
            evaluations[checkpoint] = Evaluation(
                n_test=self.n_test, clean_correct=clean_count, robust_correct=robust_count,
                attacked_correct=robust_count + 1, health={},
                stages=self.stages(clean_count, robust_count) if attack == "autoattack" else [],
                clean_accuracy=clean_count / self.n_test, robust_accuracy=robust_count / self.n_test,
                clean_interval=wilson(clean_count, self.n_test), robust_interval=wilson(robust_count, self.n_test),
                max_linf255=size, max_l2_255=8 * size, max_l1_255=64 * size,
                flags=self.flags.get((method, checkpoint, seed), []),
            )  # fmt: skip
        threat = ThreatModel(eps255=eps255, norm=self.config.norm)
        record = Record(
            dataset=dataset, architecture=spec, method=method,
            kind="network" if method.startswith("at") else "kernel",
            method_options=self.network_options | REPORTS if method.startswith("at") else {},
            trained_at=None if method == "ntk" else threat, threat=threat,
            attack=AttackRecord(
                name=attack, kind=attack if outside or attack == "autoattack" else "pgd",
                options={**OPTIONS, **({} if outside else PLAIN), **self.attack_options.get(attack, {})},
                inside_threat_model=not outside, seed=1000 + seed,
            ),
            seed=seed, n_opt=800, n_val=200, split_hash=f"{dataset}{seed}", training={}, evaluations=evaluations,
            provenance=self.provenance, timing={"attack_s": 2.0 + seed, "wall_s": 5.0, "peak_mb": 300.0 + seed},
        )  # fmt: skip
        if self.config.protocol == "reference" and record.kind == "network":
            record = record.model_copy(update={"images": "all"})
        self.fit(record)
        write_record(place, record.model_copy(update=changes))
        files.write_npz(place.removesuffix("json") + "npz", arrays)
        if place not in self.paths:
            self.paths.append(place)
        return place

    def fit(self, record):
        """The fit behind a record, and its Gram matrix: 10 s and 5 s, a second longer at seed 1."""
        own = {"root": self.folder, "dataset": record.dataset, "seed": record.seed}
        own["architecture"] = record.architecture.label
        at = paths.trained_at(record.threat.eps255, depends_on_radius=record.trained_at is not None)
        kept = {"dataset", "seed", "split_hash", "architecture", "method", "kind", "trained_at"}
        parts = {"solve_s": 4.0, "attack_s": 3.0} if record.method == "advntk" else {}
        timing = {"wall_s": 10.0 + record.seed, "peak_mb": 500.0 + record.seed}
        fit = {**record.model_dump(mode="json", include=kept), "provenance": self.provenance, "timing": timing | parts}
        gram = {"split_hash": record.split_hash, "architecture": record.architecture.kernel_identity, "n": 800}
        gram |= {"parts": 1, "provenance": self.provenance, "timing": {**timing, "wall_s": 2.0, "parts_s": 3.0}}
        gram_place = place_of("gram", **own)
        for place, content, listed in (
            (place_of("fit", **own, method=record.method, trained_at=at), {**fit, "options": {}}, self.fits),
            *([(gram_place, gram, self.grams)] if record.kind == "kernel" else []),
        ):
            files.write_json(place, content)
            if place not in listed:
                listed.append(place)
        if record.kind == "network" and record.seed == 0 and self.moved.get(record.method, 0.0) is not None:
            self.check(record, place_of("check", **own, method=record.method, trained_at=at))

    def check(self, record, place):
        """The convergence check of a network's recipe."""
        of_recipe = {"dataset", "architecture", "method", "trained_at", "seed", "split_hash", "n_val"}
        rows = [
            {"step": step, "split": "val", "clean_accuracy": 0.9, "robust_accuracy": 0.8, "robust_loss": 0.3}
            for step in (0, 1600, 2000)
        ]
        twice = [{**row, "robust_accuracy": 0.8 + self.moved.get(record.method, 0.0)} for row in rows]
        content = record.model_dump(mode="json", include=of_recipe)
        content |= {"once": rows, "twice": twice, "provenance": self.provenance, "timing": {"wall_s": 20.0}}
        files.write_json(place, content)
        if place not in self.checks:
            self.checks.append(place)

    def curve(self, dataset, label, method, eps255, seed):
        steps = np.arange(0, 2001, 100) if method == "at" else np.arange(51)
        share = steps / steps[-1]
        overfit = 0.25 if method == "at" else 0.05  # of robust accuracy is lost again on images not trained on
        lines = ["step,split,clean_accuracy,robust_accuracy,robust_loss"]
        for split, offset in (("train", 0.03), ("val", 0.0), ("test", -0.015)):
            clean = 0.1 + 0.85 * (1 - np.exp(-6 * share)) + offset + 0.01 * seed
            turn = 1 + overfit * share if split == "train" else 1 - overfit * share
            robust = (0.1 + 0.6 * (1 - np.exp(-8 * share)) * turn * 20 / (eps255 + 10)) + offset
            rows = zip(steps, clean.clip(0, 1), (robust - 0.03 * seed * share).clip(0, 1), strict=True)
            lines += [f"{step},{split},{a:.4f},{b:.4f},0.3" for step, a, b in rows]
        place = f"{self.folder}/fits/{dataset}/seed{seed}/{label}/{method}/eps{eps255:g}/curve.csv"
        files.write_text(place, "\n".join(lines) + "\n")
        entry = {"dataset": dataset, "architecture": label, "method": method, "seed": seed, "eps255": eps255}
        self.curves.append({**entry, "path": place})
        return place

    def fill(self):
        """All cells of the configuration."""
        config = self.config
        for dataset in config.datasets:
            grid = product(config.specs_on(dataset), config.methods, config.eps255, range(config.seeds))
            for spec, method, eps255, seed in grid:
                for attack in config.attacks:
                    self.record(dataset, spec, method, eps255, attack, seed)
                if method.startswith(("at", "advntk")):
                    self.curve(dataset, spec.label, method, eps255, seed)
        return self

    def splits(self):
        """A split a dataset and seed, each with test images of its own unless they are ``shared``."""
        places = []
        for dataset, seed in product(self.config.datasets, range(self.config.seeds)):
            places.append(place_of("split", root=self.folder, dataset=dataset, seed=seed))
            test = np.arange(self.n_test) + (0 if self.shared else seed * self.n_test)
            content = {"dataset": dataset, "seed": seed, "hash": f"{dataset}{seed}", "test": test.tolist()}
            files.write_json(places[-1], content)
        return places

    def write(self):
        """Write the suite file and give its path."""
        path = self.folder / "suite.json"
        content = {
            "schema": "advntk-suite-3",
            "root": str(self.folder),
            "config": self.config.model_dump(mode="json"),
            "splits": self.splits(),
            "records": self.paths,
            "fits": self.fits,
            "grams": self.grams,
            "checks": self.checks,
            "curves": self.curves,
            "sweeps": [],
            "transfers": [],
        }
        files.write_json(path, content)
        return path


@pytest.fixture
def build(tmp_path):
    """Make a builder: ``build(**changes of the quick configuration)``."""
    return lambda **changes: Builder(tmp_path, **changes)


@pytest.fixture
def quick(build):
    """The quick suite, filled, and the path of its suite file."""
    builder = build().fill()
    return SimpleNamespace(builder=builder, path=builder.write())
