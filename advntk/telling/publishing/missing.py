"""What a suite lacks of all that its configuration asks for."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from advntk.foundation.config import SuiteConfig
from advntk.foundation.findings import Finding
from advntk.foundation.strength import Transfer
from advntk.telling.contents import Suite
from advntk.telling.kinds import kinds
from advntk.telling.publishing.pieces import seeds_in_words

_SHOWN = 6
"""Groups that a note names."""

Key = tuple[str, str, str, float, int, str]
"""Dataset, network, method, radius, seed; and the attack of a record, or what else is asked of a cell, in words."""


@dataclass(frozen=True, kw_only=True)
class Missing:
    """What is not there, in the order of the configuration's lists.

    Attributes:
        of_cells: records, and other results that every cell must have.
        transfers: dataset, radius, seed and attack of each.
        experiments: names.
        cells: how many cells there should be: each dataset, network, method, radius and seed.
        config: of the suite.
    """

    of_cells: Sequence[Key]
    transfers: Sequence[tuple[str, float, int, str]]
    experiments: Sequence[str]
    cells: int
    config: SuiteConfig

    def __bool__(self) -> bool:
        return bool(self.of_cells or self.transfers or self.experiments)

    @property
    def count(self) -> str:
        """How much that is: ``9 of 36 cells``, and transfers and experiments."""
        cells = len({key[:5] for key in self.of_cells})
        words = [f"{cells} of {self.cells} cells"] if cells else []
        words += [_counted(len(self.transfers), "transfer")] if self.transfers else []
        words += [_counted(len(self.experiments), "experiment")] if self.experiments else []
        return ", ".join(words) or "nothing"

    def lines(self) -> list[str]:
        """What is missing in words; methods on one dataset and network that lack the same stand in one line."""
        lacks: dict[tuple[str, str, str], dict[int, list[tuple[float, str]]]] = {}
        for dataset, network, method, eps255, seed, name in self.of_cells:
            lacks.setdefault((dataset, network, method), {}).setdefault(seed, []).append((eps255, name))
        alike: dict[tuple[str, str, str], list[str]] = {}
        for (dataset, network, method), seeds in lacks.items():
            for words in dict.fromkeys(map(self._radii, seeds.values())):
                mine = [seed for seed, own in seeds.items() if self._radii(own) == words]
                alike.setdefault((f"{dataset} / {network}", words, seeds_in_words(mine)), []).append(method)
        found = [f"{place} / {', '.join(names)}{words}: {seeds}" for (place, words, seeds), names in alike.items()]
        transfers: dict[str, list[int]] = {}
        for dataset, eps255, seed, attack in self.transfers:
            transfers.setdefault(f"{dataset} / transfer of {attack}{self._radius(eps255)}", []).append(seed)
        found += [f"{words}: {seeds_in_words(seeds)}" for words, seeds in transfers.items()]
        return found + [f"experiment {name}" for name in self.experiments]

    def _radii(self, lacking: Sequence[tuple[float, str]]) -> str:
        """The radii at which one method lacks something for one seed, and what, if not all."""
        by_radius: dict[float, list[str]] = {}
        for eps255, what in lacking:
            by_radius.setdefault(eps255, []).append(what)
        return "".join(
            self._radius(eps255) + ("" if set(self.config.attacks) <= set(names) else f" ({', '.join(names)})")
            for eps255, names in by_radius.items()
        )

    def _radius(self, eps255: float) -> str:
        """A radius, where the suite has several."""
        return f", ε = {eps255:g}/255" if len(self.config.eps255) > 1 else ""

    def notes(self) -> list[str]:
        """One sentence for tables and figures; none where nothing is missing."""
        lines = self.lines()
        more = f"; and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
        return [f"Not published yet, and left out: {self.count} ({'; '.join(lines[:_SHOWN])}{more})."] if self else []


def missing(suite: Suite) -> Missing:
    """What a suite lacks."""
    config = suite.config
    grid = [
        (dataset, spec.label, method, eps255, seed)
        for dataset in config.datasets
        for spec in config.specs_on(dataset)
        for method, eps255, seed in itertools.product(config.methods_on(spec), config.eps255, range(config.seeds))
    ]
    there = {
        (one.dataset, one.architecture.label, one.method, one.threat.eps255, one.seed, name)
        for one, name in of_cells(suite)
    }
    transfers = {(one.dataset, one.threat.eps255, one.seed, one.attack.name) for one in suite.of(Transfer)}
    shown = itertools.product(config.datasets, config.eps255, range(config.seeds), config.transfer)
    experiments = {one.experiment for one in suite.of(Finding)}
    return Missing(
        of_cells=[key for cell in grid for name in asked(config) if (key := (*cell, name)) not in there],
        transfers=[key for key in shown if key not in transfers],
        experiments=[name for name in config.experiments if name not in experiments],
        cells=len(grid),
        config=config,
    )


def asked(config: SuiteConfig) -> list[str]:
    """What a suite asks of each of its cells: names of attacks, then other results in words."""
    more = (f"{kind.what} {name}".strip() for kind in kinds().values() for name in kind.asked(config))
    return [*config.attacks, *more]


def of_cells(suite: Suite) -> Iterator[tuple[Any, str]]:
    """What there is of that: records and other results, each with its name."""
    yield from ((item.record, item.record.attack.name) for item in suite.measured)
    for kind in kinds().values():
        if kind.asked(suite.config):
            yield from ((one, f"{kind.what} {kind.called(one)}".strip()) for one in suite.of(kind.model))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
