"""What each job asks a scheduler for: threads, memory, minutes and disk, by short formulas of its cell and the attempt.

n are training images, d numbers in an image, c classes. Constants of memory are what processes held where suites ran; a
test holds the formulas against every peak in ``results/reference``. Of work only ratios between jobs of one kind count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from advntk import suite as suites
from advntk.attacks.attack import BATCH
from advntk.attacks.named import NamedAttack
from advntk.foundation.architecture import Architecture
from advntk.foundation.strength import SweepName
from advntk.ingredients.gram_sizes import DENSE_CHECK, DENSE_LIMIT, PIECES, SUBSET, TILE_ROWS, parts_that_fit
from advntk.ingredients.images import SplitSizes
from advntk.ingredients.kernels.relu_plan import relu_plan
from advntk.ingredients.networks.layers import AveragePool, Conv, Dense, flat, layers_of
from advntk.learning.method import CURVE_IMAGES, NETWORK_CURVE_IMAGES, SELECTION_IMAGES
from advntk.planning.datasets import Facts, facts_of

MIB = 2**20
SMALL = 2000
"""Rows of a Gram matrix up to which its jobs have one thread: small problems run side by side."""

MEMORY_SAFETY = 1.5
"""Memory asked for over what a job is expected to hold."""
SNAKEMAKES_MB = 350
"""Beside a job's own memory: two Snakemakes start it on a cluster and wait in it, each of 150 MB."""
PLAIN_MB, TABLES_MB, KERNEL_MB, TORCH_MB = 60, 170, 230, 700
"""MiB of a process that loads numpy alone; pandas and matplotlib too; numba or JAX; torch."""

TIME_SAFETY, LEAST_MINUTES = 4.0, 15
"""Minutes asked for over minutes expected, and how many more."""
LONGEST_MINUTES = 7 * 24 * 60
"""Most that a job asks for, whatever it would take."""
UNMEASURED_MINUTES = 24 * 60
"""Asked for where no job like it was measured; at most this at first on a GPU, as measurements are of CPUs."""

START = 5e10
"""Work of starting a process, some seconds: so much of a short job does not grow with its problem."""
CALL = 2e7
"""Work of one pass through a predictor, however few images it is of."""
ACTIVATION = 50
"""Work of a kernel's activation for a pair of images (MLP), or a pixel of such a pair (CNN, ResNet)."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a job needs.

    Attributes:
        kind: jobs of one kind take time in proportion to their work: rule, method, attack and kernel engine.
        family: of the network, where the time depends on it.
        memory_mb: that its process is expected to hold at most, mapped files included, MiB.
        disk_mb: of what it leaves.
        threads: that it asks for; changing them may change last digits (docs/reproduce.md).
        work: multiplications, roughly.
    """

    kind: tuple[str, ...]
    family: str = ""
    memory_mb: float
    disk_mb: float = 0.1
    threads: int = 1
    work: float = START

    @property
    def asked_mb(self) -> int:
        """MiB asked for at the first attempt, Snakemake itself not counted."""
        return math.ceil(MEMORY_SAFETY * self.memory_mb)


def gram_parts(suite: suites.Suite, dataset: str) -> int:
    """How many jobs compute one Gram matrix of a dataset: what the config asks for, if it is large enough."""
    return parts_that_fit(suite.gram_size(dataset), suite.config.compute.gram_parts)


def mem_mb(need: Need, attempt: int) -> int:
    """MB of a million bytes, as Snakemake counts; each attempt asks for once more of the first."""
    return attempt * (math.ceil(need.asked_mb * MIB / 1e6) + SNAKEMAKES_MB)


def runtime(wall_s: float | None, attempt: int, *, gpu: bool) -> int:
    """Minutes of a job that is expected to take ``wall_s``; each attempt asks for once more of the first."""
    minutes = UNMEASURED_MINUTES if wall_s is None else LEAST_MINUTES + math.ceil(TIME_SAFETY * wall_s / 60)
    return min(attempt * (min(minutes, UNMEASURED_MINUTES) if gpu else minutes), LONGEST_MINUTES)


def disk_mb(need: Need) -> int:
    """MB of a million bytes of what a job leaves, and a little."""
    return math.ceil(1.05 * need.disk_mb * MIB / 1e6) + 10


@dataclass(frozen=True)
class Cell:
    """What the formulas take of a dataset, a network and a method; a network or both may be left out."""

    suite: suites.Suite
    dataset: str
    architecture: str = ""
    method: str = ""

    @cached_property
    def facts(self) -> Facts:
        """Of the dataset."""
        return facts_of(self.dataset, *self.suite.datasets[self.dataset])

    @property
    def options(self) -> Any:
        """Of the method; one of a user's own may lack any that is read here."""
        return self.suite.options[self.dataset, self.architecture, self.method]

    @property
    def sizes(self) -> SplitSizes:
        """Of the dataset's splits."""
        return self.suite.datasets[self.dataset][1]

    @property
    def n(self) -> int:
        """Training images of the method; without one, rows of the Gram matrix."""
        return self.sizes.training(self.suite.images_of(self.method) if self.method else self.suite.gram_images)

    @property
    def spec(self) -> Architecture:
        """Of the network."""
        return self.suite.specs[self.architecture]

    @cached_property
    def engine(self) -> str:
        """Which computes the kernel on a CPU."""
        jax = self.suite.config.compute.kernel_engine == "neural_tangents"
        return "neural_tangents" if jax or relu_plan(layers_of(self.spec)) is None else "numba"

    def engine_mb(self, n: int) -> float:
        """What the engine lays out: of a convolutional kernel two planes an activation for each of n images."""
        laid = 0.0 if self.spec.family == "mlp" else 8 * n * self.facts.places * self.spec.depth / MIB
        return min(self.suite.config.compute.memory_mb, laid if self.engine == "numba" else math.inf)

    def predictor_mb(self, batch: int) -> float:
        """A kernel predictor under attack: training images, and their pairs with a batch."""
        return 4 * self.n * (5 * self.facts.numbers + 3 * batch) / MIB + self.engine_mb(self.n)

    @cached_property
    def pair(self) -> float:
        """Work of the kernel for a pair of images."""
        if self.spec.family == "mlp":
            return self.facts.numbers + ACTIVATION * self.spec.depth
        places = self.facts.places ** (2 if self.spec.pooling == "average" else 1)
        return ACTIVATION * (self.spec.depth + 1) * float(places)

    def kernel_gradients(self, count: float) -> float:
        """Work of gradients of a kernel predictor by single images."""
        return count * (2 * self.n * self.pair + CALL / BATCH)

    @cached_property
    def network(self) -> tuple[int, int, int]:
        """Weights, numbers that layers give for an image, and multiplications of a forward pass of a finite network.

        The reference code's ResNet halves the image where it doubles the channels. Shortcuts count as the main path.

        Returns:
            The three.
        """
        places, channels = self.facts.places, self.facts.shape[2]
        halved = getattr(self.options, "network", "") == "reference" and self.spec.family == "resnet"
        weights = outputs = products = 0
        for layer in flat(layers_of(self.spec)):
            match layer:
                case Conv(width=made):
                    places = math.ceil(self.facts.places / (made / self.spec.width) ** 2) if halved else places
                    fan_in = 9 * channels
                case Dense(width=width):
                    made, fan_in, places = width or self.facts.classes, places * channels, 1
                case _:
                    places = 1 if isinstance(layer, AveragePool) else places
                    continue
            weights, outputs = weights + fan_in * made, outputs + places * made
            products, channels = products + places * fan_in * made, made
        return weights, outputs, products


@dataclass(frozen=True)
class Resources:
    """Needs of the jobs of a suite; a method is named as its rule.

    Attributes:
        suite: resolved.
    """

    suite: suites.Suite
    _known: dict[tuple[str, ...], Need] = field(default_factory=dict, repr=False, compare=False)

    def of(self, rule: str, *names: str) -> Need:
        """The need of a rule's jobs by the method of this name; jobs that differ in seed and radius only share one."""
        key = (rule, *names)
        if key not in self._known:
            self._known[key] = getattr(self, rule)(*names)
        return self._known[key]

    def threads(self, dataset: str, most: int = 8) -> int:
        """Threads of jobs on a dataset; one for small problems."""
        return 1 if self.suite.gram_size(dataset) <= SMALL else most

    def told(self) -> Need:
        """The suite file, a table or a figure."""
        return Need(kind=("told",), memory_mb=TABLES_MB)

    def prepare(self, dataset: str) -> Need:
        """Decoding a dataset, all of its images; torchvision decodes what is fetched."""
        cell = Cell(self.suite, dataset)
        pools = type(cell.sizes).pools or (cell.sizes.n_opt, cell.sizes.n_val, cell.facts.n_test)
        numbers = sum(pools) * cell.facts.numbers
        base = TORCH_MB if hasattr(cell.sizes, "mirror") else TABLES_MB
        work = START + 100 * numbers
        return Need(kind=("prepare",), memory_mb=base + 5 * numbers / MIB, disk_mb=numbers / MIB, work=work)

    def split(self, dataset: str) -> Need:
        """A split: the whole dataset is read."""
        whole, cell = self.prepare(dataset), Cell(self.suite, dataset)
        part = (cell.sizes.n_opt + cell.sizes.n_val + cell.facts.n_test) * cell.facts.numbers / MIB
        return Need(kind=("split",), memory_mb=PLAIN_MB + whole.disk_mb, disk_mb=part, work=whole.work)

    def gram(self, dataset: str, architecture: str, parts: int = 1) -> Need:
        """A Gram matrix, or a part of it: the work of its pairs, and the check of the whole."""
        cell, whole = Cell(self.suite, dataset, architecture), self.gram_gather(dataset)
        tiles = 8 * min(TILE_ROWS, cell.n) * min(PIECES * TILE_ROWS, cell.n) / MIB + cell.engine_mb(1)
        return replace(
            whole,
            kind=("gram", cell.engine),
            family=cell.spec.family,
            memory_mb=whole.memory_mb + tiles,
            disk_mb=whole.disk_mb / (2 * parts if parts > 1 else 1),
            work=whole.work + cell.n**2 / 2 * cell.pair / parts,
        )

    def gram_part(self, dataset: str, architecture: str) -> Need:
        """One part of a Gram matrix."""
        return self.gram(dataset, architecture, gram_parts(self.suite, dataset))

    def gram_gather(self, dataset: str, architecture: str = "") -> Need:
        """Putting parts together in the mapped file, and its spectrum or that of a piece; any ``architecture``."""
        cell = Cell(self.suite, dataset)
        n, dense = cell.n, cell.n if cell.n <= DENSE_CHECK else SUBSET
        return Need(
            kind=("gram_gather",),
            memory_mb=KERNEL_MB + (4 * n**2 + 16 * dense**2 + 9 * n * cell.facts.numbers) / MIB,
            disk_mb=4 * n**2 / MIB,
            threads=self.threads(dataset),
            work=START + 2 * dense**3,
        )

    def fit(self, dataset: str, architecture: str, method: str) -> Need:
        """A kernel fit: a factorisation; a spectrum, then an attack for each of its candidates; or steps of Adv-NTK."""
        cell = Cell(self.suite, dataset, architecture, method)
        c, options, n = cell.facts.classes, cell.options, cell.n * (1 + getattr(cell.options, "copies", 0))
        dense, steps, half = n <= DENSE_LIMIT, getattr(options, "steps", 0), self.suite.config.compute.memory_mb / 2
        columns = steps * (c if getattr(options, "diagonal", "") == "per_class" else 1)
        bases = min(half, 4 * n**2 / MIB) + min(half, 1600 * n * c / MIB) + 16 * n * columns / MIB
        held = 4 * self.suite.gram_size(dataset) ** 2 / MIB  # the mapped file
        gradients, val = gradients_of(getattr(options, "attack", None)), min(SELECTION_IMAGES, cell.sizes.n_val)
        if attacks := hasattr(options, "attack"):
            held += cell.predictor_mb(getattr(options, "batch", BATCH))
        if steps:
            held += bases
            reports = steps // getattr(options, "report_every", steps) + 1
            asked = steps * getattr(options, "batch", BATCH) + reports * (val + 2 * CURVE_IMAGES)
            rates = len(options.rates()) if hasattr(options, "rates") else 1
            work = rates * (20 * steps * n**2 * c + cell.kernel_gradients(asked * gradients))
        elif attacks:
            held += (24 * n**2 / MIB if dense else bases) + 4 * (n**2 - cell.n**2) / MIB
            tried = 2 * getattr(options, "decades", 0) * getattr(options, "per_decade", 0) + 1
            spectrum = 5.0 * n**3 if dense else 200.0 * n**2 * c
            work = spectrum + cell.kernel_gradients(tried * val * gradients) + (n**2 - cell.n**2) / 2 * cell.pair
        else:
            held, work = held + 8 * n**2 / MIB, n**3 / 3
        return Need(
            kind=("fit", self.suite.method_kinds[method], cell.engine if attacks else ""),
            family=cell.spec.family if attacks else "",
            memory_mb=KERNEL_MB + held,
            disk_mb=8 * n * (3 * c + steps) / MIB,
            threads=self.threads(dataset),
            work=START + work,
        )

    def train(self, dataset: str, architecture: str, method: str) -> Need:
        """A finite network trained."""
        cell = Cell(self.suite, dataset, architecture, method)
        return self._trained(cell, [cell.options], cell.sizes.n_val + 2 * NETWORK_CURVE_IMAGES)

    def search(self, dataset: str, architecture: str, method: str) -> Need:
        """Candidates of a recipe, each trained for a share of the updates."""
        cell = Cell(self.suite, dataset, architecture, method)
        tried = [one.scaled(cell.options.search_share) for one in cell.options.candidates()]
        return self._trained(cell, tried, cell.sizes.n_val)

    def check(self, dataset: str, architecture: str, method: str) -> Need:
        """A recipe trained with twice the updates, and once more where fits are trained on val."""
        cell = Cell(self.suite, dataset, architecture, method)
        once = [cell.options] if self.suite.images_of(method) == "all" else []
        return self._trained(cell, [*once, cell.options.scaled(2)], cell.sizes.n_val)

    def attack(self, dataset: str, architecture: str, method: str, attack: str) -> Need:
        """One chunk of an attack that is run in chunks."""
        cell, named = Cell(self.suite, dataset, architecture, method), self.suite.attacks[attack]
        images = cell.facts.n_test / max(1, named.chunks)
        return self.attacked(cell, named, images * gradients_of(named.options), torch=True)

    def evaluate(self, dataset: str, architecture: str, method: str, attack: str) -> Need:
        """An evaluation: the attack, unless chunks of it are there."""
        cell, named = Cell(self.suite, dataset, architecture, method), self.suite.attacks[attack]
        return self.attacked(cell, named, 0 if named.chunks else cell.facts.n_test * gradients_of(named.options))

    def sweep(self, dataset: str, architecture: str, method: str, sweep: SweepName) -> Need:
        """An attack at every strength."""
        cell, named = Cell(self.suite, dataset, architecture, method), self.suite.sweep_attacks[sweep]
        values = self.suite.config.sweeps[sweep].values
        changes: list[dict[str, int]] = [{} if sweep == "radius" else {sweep: int(value)} for value in values]
        once = sum(gradients_of(named.options.model_copy(update=change)) for change in changes)
        return self.attacked(cell, named, cell.facts.n_test * once)

    def transfer(self, dataset: str) -> Need:
        """Every predictor of a split shown the images made against each."""
        facts, named = Cell(self.suite, dataset).facts, self.suite.attacks[self.suite.config.transfer[0]]
        specs = self.suite.config.specs_on(dataset)
        cells = [Cell(self.suite, dataset, spec.label, method) for spec in specs for method in self.suite.methods]
        shown = len(cells) * facts.n_test
        needs = [self.attacked(cell, named, shown / 2, torch=True) for cell in cells]
        return Need(
            kind=("transfer",),
            memory_mb=max(need.memory_mb for need in needs) + 4 * shown * facts.numbers / MIB,
            disk_mb=len(cells) * shown / MIB,
            threads=self.threads(dataset),
            work=sum(need.work for need in needs),
        )

    def experiment(self, name: str) -> Need:
        """A unit of a theory experiment, whose work has no formula."""
        return Need(kind=("experiment", name), memory_mb=KERNEL_MB + self.suite.experiments[name][0].memory_mb)

    def _trained(self, cell: Cell, recipes: Sequence[Any], monitored: int) -> Need:
        """Trainings one after another: updates, and attacks of the reports on ``monitored`` images."""
        (weights, outputs, products), work = cell.network, START
        parts: list[Any] = getattr(cell.options, "parts", list)()
        taught = [one for each in recipes for one, attacked in getattr(each, "teachers", dict)().values() if attacked]
        for options in [*recipes, *taught]:
            steps, batch = getattr(options, "steps", 1), getattr(options, "batch", BATCH)
            reports = steps // getattr(options, "report_every", max(1, steps)) + 1
            passes = 2 * gradients_of(getattr(options, "attack", None)) + 3 + sum(part.passes for part in parts)
            asked = monitored * reports * gradients_of(getattr(options, "report_attack", None))
            work += steps * passes * (batch * products + CALL) + 2 * asked * products
        batch = max((1 + any(part.uses_clean for part in parts)) * getattr(cell.options, "batch", BATCH), 2 * BATCH)
        held = (28 + 4 * sum(part.copies for part in parts)) * weights
        return Need(
            kind=("train", self.suite.method_kinds[cell.method]),
            family=cell.spec.family,
            memory_mb=TORCH_MB + (held + 16 * batch * outputs + 9 * cell.n * cell.facts.numbers) / MIB,
            disk_mb=8 * weights / MIB,
            threads=self.threads(cell.dataset, most=4),
            work=work,
        )

    def attacked(self, cell: Cell, named: NamedAttack, gradients: float, *, torch: bool = False) -> Need:
        """A predictor attacked with so many gradients in all: it, a batch, and the test images clean and perturbed."""
        batch, engine = getattr(named.options, "batch", BATCH), ""
        if self.suite.methods[cell.method].kind == "network":
            weights, outputs, products = cell.network
            held = TORCH_MB + (12 * weights + 8 * max(batch, 2 * BATCH) * outputs) / MIB
            work = gradients * (2 * products + CALL / BATCH)
        else:
            engine = cell.engine
            held = (TORCH_MB if torch else KERNEL_MB) + cell.predictor_mb(batch)
            work = cell.kernel_gradients(gradients)
        images = cell.facts.n_test * cell.facts.numbers / MIB
        return Need(
            kind=("evaluate", self.suite.method_kinds[cell.method], named.kind, engine),
            family=cell.spec.family,
            memory_mb=held + 40 * images,
            disk_mb=4 * images if named.chunks or named.name in self.suite.config.transfer else 0.1,
            threads=self.threads(cell.dataset),
            work=START + work,
        )


def gradients_of(options: Any) -> float:
    """Gradients that an attack asks for each image: steps or draws, in all restarts, for all targets.

    AutoAttack's: iterations of APGD, of targeted APGD for nine classes, and of FAB with two gradients for each of them.

    Returns:
        How many.
    """
    ensemble = 28 * getattr(options, "iterations", 0) + getattr(options, "queries", 0)
    once = max(1, getattr(options, "steps", 0), getattr(options, "draws", 0), ensemble)
    return float(once * getattr(options, "restarts", 1) * max(1, getattr(options, "targets", 0)))
