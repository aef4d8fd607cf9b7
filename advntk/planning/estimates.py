"""Work, memory, disk and threads of each rule's jobs, from dataset, network, method and attack."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from advntk import suite as suites
from advntk.attacks.attack import BATCH
from advntk.attacks.named import NamedAttack
from advntk.foundation.at_options import NetworkForm
from advntk.foundation.strength import SweepName
from advntk.ingredients.gram_spectrum import BLOCK, DENSE_CHECK, PASSES, SUBSET
from advntk.ingredients.gram_tiles import parts_that_fit
from advntk.planning import attacks, fits, memory
from advntk.planning.datasets import Facts, facts_of
from advntk.planning.fits import Sizes
from advntk.planning.memory import Memory, matrix_mb
from advntk.planning.work import KernelWork, NetworkWork, Work, times, total

LIMIT_OF_ONE = 2000
"""Rows of a Gram matrix up to which its jobs have one thread: small problems run side by side."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a job needs.

    Attributes:
        parts: of its work, by name; None where its method, attack or dataset is not known before it runs.
        memory: of its process.
        disk_mb: of what it leaves, or of its largest file while it runs.
        threads: that it asks for.
    """

    parts: Mapping[str, Work] | None
    memory: Memory
    disk_mb: float
    threads: int

    @property
    def work(self) -> Work | None:
        """All parts."""
        return None if self.parts is None else total(*self.parts.values())


def kernel_threads(n: int) -> int:
    """Threads of a kernel job; changing them may change last digits (docs/reproduce.md)."""
    return 1 if n <= LIMIT_OF_ONE else 8


def network_threads(n: int) -> int:
    """Threads of a training; the same holds."""
    return 1 if n <= LIMIT_OF_ONE else 4


@dataclass(frozen=True)
class Estimates:
    """Estimates for the jobs of a suite.

    Attributes:
        suite: resolved.
    """

    suite: suites.Suite
    _known: dict[tuple[str, ...], Estimate] = field(default_factory=dict, repr=False, compare=False)

    def of(self, rule: str, *names: str) -> Estimate:
        """The estimate of a rule's jobs by its method here; jobs that differ in seed and radius only share one."""
        key = (rule, *names)
        if key not in self._known:
            self._known[key] = getattr(self, rule)(*names)
        return self._known[key]

    def facts(self, dataset: str) -> Facts:
        """Shape, classes and test images of a dataset; see :func:`advntk.planning.datasets.facts_of`."""
        return facts_of(dataset, *self.suite.datasets[dataset])

    def sizes(self, dataset: str, method: str | None = None) -> Sizes:
        """Images of a split that a method's jobs meet; without a method, those of the Gram matrix."""
        options = self.suite.datasets[dataset][1]
        n = self.suite.gram_size(dataset)
        if method is not None:
            n = options.training(self.suite.images_of(method))
        return Sizes(n=n, n_val=options.n_val, n_test=self.facts(dataset).n_test)

    def kernel(self, dataset: str, architecture: str) -> KernelWork:
        """Work of a kernel."""
        facts = self.facts(dataset)
        spec, compute = self.suite.specs[architecture], self.suite.config.compute
        return KernelWork(spec=spec, shape=facts.shape, classes=facts.classes, compute=compute)

    def network(self, dataset: str, architecture: str, method: str) -> NetworkWork:
        """Work of a finite network."""
        facts, options = self.facts(dataset), self.suite.options[dataset, architecture, method]
        form: NetworkForm = getattr(options, "network", "ntk")
        return NetworkWork(spec=self.suite.specs[architecture], form=form, shape=facts.shape, classes=facts.classes)

    def gram_parts(self, dataset: str) -> int:
        """How many jobs compute one Gram matrix of a dataset: what the config asks for, if it is large enough."""
        return parts_that_fit(self.suite.gram_size(dataset), self.suite.config.compute.gram_parts)

    def telling(self, *, drawn: bool) -> Estimate:
        """A table or figure, or the suite file, which needs no library for them."""
        parts = {"start": {"start": 1, "start.telling": float(drawn)}}
        return Estimate(
            parts=parts, memory=Memory(held_mb=0, base="telling" if drawn else "plain"), disk_mb=0.1, threads=1
        )

    def prepare(self, dataset: str) -> Estimate:
        """Decoding a dataset: all of its images, once."""
        sizes, facts = self.suite.datasets[dataset][1], self.facts(dataset)
        images = sum(type(sizes).pools or (sizes.n_opt + sizes.n_val, facts.n_test))
        held = images * math.prod(facts.shape) * 5 / memory.MIB
        fetched = hasattr(sizes, "mirror")  # torchvision decodes what is fetched
        library = "network" if fetched else "telling"
        return Estimate(
            parts={"start": {"start": 1, f"start.{library}": 1, "pixel": 5.0 * images * math.prod(facts.shape)}},
            memory=Memory(held_mb=held, base=library),
            disk_mb=held / 5,
            threads=1,
        )

    def split(self, dataset: str) -> Estimate:
        """A split: the whole dataset read, its part written."""
        whole, sizes, facts = self.prepare(dataset), self.sizes(dataset), self.facts(dataset)
        options = self.suite.datasets[dataset][1]
        own = (options.n_opt + sizes.n_val + sizes.n_test) * math.prod(facts.shape) / memory.MIB
        pools = type(options).pools
        held = whole.disk_mb * (pools[0] / sum(pools) if pools else 1.0)  # its test images are read after these are cut
        return Estimate(
            parts={"start": {"start": 1, "pixel": 2 * held * memory.MIB}},
            memory=Memory(held_mb=held, base="plain"),
            disk_mb=own,
            threads=1,
        )

    def gram_part(self, dataset: str, architecture: str) -> Estimate:
        """One part of a Gram matrix."""
        return self.gram(dataset, architecture, parts=self.gram_parts(dataset))

    def gram(self, dataset: str, architecture: str, *, parts: int = 1) -> Estimate:
        """A Gram matrix, or one part of it."""
        n, kernel = self.suite.gram_size(dataset), self.kernel(dataset, architecture)
        computed = times(1 / parts, total(kernel.values(n * (n + 1) / 2), {"entry": 1.0 * n**2}))
        return Estimate(
            parts={"start": kernel.start(), "values": computed, "check": {} if parts > 1 else _check(n)},
            memory=memory.gram_memory(kernel, n),
            disk_mb=matrix_mb(n) / (2 * parts if parts > 1 else 1),
            threads=kernel_threads(n),
        )

    def gram_gather(self, dataset: str, architecture: str) -> Estimate:
        """Putting parts together, which are there beside the whole meanwhile."""
        n, kernel = self.suite.gram_size(dataset), self.kernel(dataset, architecture)
        return Estimate(
            parts={"start": {"start": 1}, "check": total({"entry": 3.0 * n**2}, _check(n))},
            memory=memory.gram_memory(kernel, n, gather=True),
            disk_mb=matrix_mb(n),
            threads=kernel_threads(n),
        )

    def fit(self, dataset: str, architecture: str, method: str) -> Estimate:
        """A kernel fit."""
        sizes, kernel = self.sizes(dataset, method), self.kernel(dataset, architecture)
        kind, options = self.suite.method_kinds[method], self.suite.options[dataset, architecture, method]
        stored = self.suite.gram_size(dataset)
        columns = 3 * kernel.classes + getattr(options, "steps", 0)
        return Estimate(
            parts=fits.kernel_fit(kind, options, kernel, sizes),
            memory=memory.fit_memory(kind, options, kernel, sizes, stored),
            disk_mb=matrix_mb(sizes.n, columns, entry=8),
            threads=kernel_threads(stored),
        )

    def train(self, dataset: str, architecture: str, method: str) -> Estimate:
        """A finite network trained; its checkpoints and, meanwhile, its state are on disk."""
        sizes, network = self.sizes(dataset, method), self.network(dataset, architecture, method)
        kind, options = self.suite.method_kinds[method], self.suite.options[dataset, architecture, method]
        return Estimate(
            parts=fits.network_fit(kind, options, network, sizes),
            memory=memory.training_memory(network, sizes, getattr(options, "batch", BATCH)),
            disk_mb=2 * network.parameters * 4 / memory.MIB,
            threads=network_threads(self.suite.gram_size(dataset)),
        )

    def search(self, dataset: str, architecture: str, method: str) -> Estimate:
        """Candidates of a recipe, each trained for a share of the updates."""
        options: Any = self.suite.options[dataset, architecture, method]
        tried = [one.scaled(options.search_share) for one in options.candidates()]
        return self._trained(dataset, architecture, method, tried)

    def check(self, dataset: str, architecture: str, method: str) -> Estimate:
        """A recipe trained with twice the updates, and once more where fits are trained on val."""
        options: Any = self.suite.options[dataset, architecture, method]
        once = [options] if self.suite.images_of(method) == "all" else []
        return self._trained(dataset, architecture, method, [*once, options.scaled(2)])

    def _trained(self, dataset: str, architecture: str, method: str, recipes: Sequence[Any]) -> Estimate:
        """Several trainings in one job, measured on val alone."""
        one, network = self.train(dataset, architecture, method), self.network(dataset, architecture, method)
        sizes, kind = self.sizes(dataset, method), self.suite.method_kinds[method]
        works = [fits.network_fit(kind, recipe, network, sizes, curves=False) for recipe in recipes]
        known = [found for found in works if found is not None]
        names = dict.fromkeys(name for found in known for name in found)
        parts = {name: total(*(found.get(name, {}) for found in known)) for name in names}
        return replace(one, parts=parts if len(known) == len(works) else None)

    def attack(self, dataset: str, architecture: str, method: str, attack: str) -> Estimate:
        """One chunk of an attack that is run in chunks."""
        named = self.suite.attacks[attack]
        images = self.facts(dataset).n_test / max(1, named.chunks) * self.checkpoints(dataset, method)
        work = self._attacked(dataset, architecture, method, named, images)
        parts = None if work is None else {"start": self._start(dataset, architecture, method, named), "attack_s": work}
        return self._evaluation(dataset, architecture, method, named, parts)

    def evaluate(self, dataset: str, architecture: str, method: str, attack: str) -> Estimate:
        """An evaluation: the attack, unless chunks of it are there; predictions, and the examination."""
        named, facts = self.suite.attacks[attack], self.facts(dataset)
        found = attacks.passes(named.kind, named.options, classes=facts.classes)
        if found is None:
            return self._evaluation(dataset, architecture, method, named, None)
        losses = len({"margin", getattr(named.options, "loss", "margin")})
        looked = attacks.examination(
            found,
            chunked=named.entry.chunked,
            inside=named.entry.inside_threat_model,
            losses=losses,
            n_test=facts.n_test,
        )
        checkpoints = self.checkpoints(dataset, method)
        examined = attacks.Passes(
            gradients=looked.gradients, values=looked.values + 2 * facts.n_test, steps=looked.steps, batch=1
        )
        judged = times(checkpoints, self._asked(dataset, architecture, method, examined, facts.n_test))
        work = {} if named.chunks else self._attacked(dataset, architecture, method, named, checkpoints * facts.n_test)
        start = self._start(dataset, architecture, method, None)
        parts = {"start": start, "attack_s": work or {}, "examination": judged}
        return self._evaluation(dataset, architecture, method, named, parts)

    def sweep(self, dataset: str, architecture: str, method: str, sweep: SweepName) -> Estimate:
        """An attack at every strength; over the radius all of them are counted, though none may be left robust."""
        named, n_test = self.suite.sweep_attacks[sweep], self.facts(dataset).n_test
        works = []
        for value in self.suite.config.sweeps[sweep].values:
            update = {} if sweep == "radius" else {sweep: int(value)}
            changed = NamedAttack(
                name=named.name, kind=named.kind, entry=named.entry, options=named.options.model_copy(update=update)
            )
            looks = attacks.Passes(gradients=0, values=n_test, steps=0, batch=1)
            works += [
                self._attacked(dataset, architecture, method, changed, n_test),
                self._asked(dataset, architecture, method, looks, n_test),
            ]
        known = [work for work in works if work is not None]
        parts = {"start": self._start(dataset, architecture, method, None), "points": total(*known)}
        return self._evaluation(dataset, architecture, method, named, parts if len(known) == len(works) else None)

    def transfer(self, dataset: str) -> Estimate:
        """Every predictor of a split shown the images made against each, and the clean ones."""
        n_test = self.facts(dataset).n_test
        specs = self.suite.config.specs_on(dataset)
        cells = [(spec.label, method) for spec in specs for method in self.suite.methods]
        shown = attacks.Passes(gradients=0, values=n_test * (len(cells) + 1), steps=0, batch=1)
        works = [self._asked(dataset, label, method, shown, n_test) for label, method in cells]
        starts = [self._start(dataset, label, method, None) for label, method in cells]
        once: dict[str, float] = {}
        for start in starts:
            once |= start
        named = next(self.suite.attacks[name] for name in self.suite.config.transfer)
        largest = [self._evaluation(dataset, label, method, named, {}) for label, method in cells]
        images = len(cells) * n_test * math.prod(self.facts(dataset).shape) * 4 / memory.MIB
        base = "ensemble" if {"kernel", "network"} <= {entry.kind for entry in self.suite.methods.values()} else None
        held = max(one.memory.held_mb for one in largest) + images
        return Estimate(
            parts={"start": once, "shown": total(*works)},
            memory=Memory(held_mb=held, base=base or largest[0].memory.base),
            disk_mb=len(cells) ** 2 * n_test / memory.MIB,
            threads=kernel_threads(self.suite.gram_size(dataset)),
        )

    def experiment(self, name: str) -> Estimate:
        """A unit of a theory experiment; its time has not been measured."""
        entry, _ = self.suite.experiments[name]
        return Estimate(parts=None, memory=Memory(held_mb=entry.memory_mb, base="jax"), disk_mb=0.1, threads=1)

    def checkpoints(self, dataset: str, method: str) -> float:
        """Checkpoints of a fit that are predictors of their own; trained on val, AT has only its last."""
        entry = self.suite.methods[method]
        alone = len(entry.checkpoints) == 1 or (entry.kind == "network" and self.suite.images_of(method) == "all")
        return 1.0 if alone else attacks.CHECKPOINTS

    def _network(self, method: str) -> bool:
        return self.suite.methods[method].kind == "network"

    def _start(self, dataset: str, architecture: str, method: str, named: NamedAttack | None) -> Work:
        ensemble = {"start.ensemble": 1.0} if named is not None and named.entry.chunked else {}
        if self._network(method):
            return total({"start": 1, "start.network": 1}, ensemble)
        kernel = self.kernel(dataset, architecture)
        read = 2.0 * self.sizes(dataset, method).n * kernel.pixels
        return total(kernel.start(), {"pixel": read}, {"start.network": 1.0} if ensemble else {}, ensemble)

    def _attacked(self, dataset: str, architecture: str, method: str, named: NamedAttack, images: float) -> Work | None:
        found = attacks.passes(named.kind, named.options, classes=self.facts(dataset).classes)
        if found is None:
            return None
        if self._network(method):
            return fits.network_attacked(self.network(dataset, architecture, method), found, images)
        kernel = self.kernel(dataset, architecture)
        return fits.attacked(kernel, found, images, self.sizes(dataset, method).n)

    def _asked(self, dataset: str, architecture: str, method: str, passes: attacks.Passes, n_test: int) -> Work:
        """Passes given in images, not for each."""
        if self._network(method):
            network = self.network(dataset, architecture, method)
            few = min(64, n_test)
            return total(network.gradients(passes.gradients, few), network.predictions(passes.values, 512))
        kernel, n = self.kernel(dataset, architecture), self.sizes(dataset, method).n
        return total(
            times(passes.gradients, kernel.gradients(n)),
            times(passes.values, kernel.predictions(n)),
            {"pixel": (passes.steps + passes.values) * kernel.pixels, "call": (passes.gradients + passes.values) / 64},
        )

    def _evaluation(
        self, dataset: str, architecture: str, method: str, named: NamedAttack, parts: Mapping[str, Work] | None
    ) -> Estimate:
        sizes = self.sizes(dataset, method)
        batch = int(getattr(named.options, "batch", BATCH))
        if self._network(method):
            held = memory.network_memory(self.network(dataset, architecture, method), sizes, batch)
        else:
            count = len(self.suite.methods[method].checkpoints)
            held = memory.evaluation_memory(self.kernel(dataset, architecture), sizes, batch, checkpoints=count)
        kept = sizes.n_test * math.prod(self.facts(dataset).shape) * 4 / memory.MIB
        images = named.chunks > 0 or named.name in self.suite.config.transfer
        return Estimate(
            parts=parts,
            memory=held,
            disk_mb=kept if images else 0.05,
            threads=kernel_threads(self.suite.gram_size(dataset)),
        )


def _check(n: int) -> dict[str, float]:
    """Mirroring a Gram matrix, and its spectrum: whole for small n, else of a part, and a few passes."""
    if n <= DENSE_CHECK:
        return {"entry": 2.0 * n**2, "eigenvalues": float(n**3)}
    return {"entry": 2.0 * n**2, "eigenvalues": float(SUBSET**3), "theta": float(BLOCK * PASSES * n**2)}
