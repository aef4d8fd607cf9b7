"""Transfer as data: accuracy of each predictor on the images made against every other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from advntk.foundation.config import SuiteConfig
from advntk.foundation.strength import Shown, Transfer
from advntk.telling import labels
from advntk.telling.listing import Column, csv_frame, parted
from advntk.telling.series import interval_of_counts
from advntk.telling.suite_file import Suite

Cell = tuple[str, float, str]
"""Dataset, radius and attack."""


@dataclass(frozen=True, kw_only=True)
class Name:
    """A predictor of a transfer; ``kind`` is kernel or network."""

    architecture: str
    method: str
    checkpoint: str
    kind: str

    @property
    def text(self) -> str:
        """Such as ``mlp-3 AT (last)``."""
        return f"{self.architecture} {labels.method_label(self.method, self.checkpoint)}"


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """One predictor on the images made against one, over all seeds; accuracies are fractions.

    Attributes:
        cell: dataset, radius and attack.
        source: what the images were made against.
        target: what is shown them.
        clean: mean accuracy of the target on clean images.
        robust: (mean, low, high) of its accuracy, clean and on these images; 95% interval over seeds and
            examples.
    """

    cell: Cell
    source: Name
    target: Name
    n_test: int
    seeds: int
    clean: float
    robust: tuple[float, float, float]


def crossings(suite: Suite) -> dict[Cell, list[Crossing]]:
    """All pairs of predictors of each dataset, radius and attack, sources outer.

    Returns:
        Cells and predictors in the order of the configuration's lists, kernels of an architecture before its finite
        networks.
    """
    config = suite.config
    found: dict[Cell, list[Transfer]] = {}
    for dataset in config.datasets:
        for eps255 in config.eps255:
            for attack in config.attacks:
                cell = (dataset, eps255, attack)
                mine = [item for item in suite.transfers if _cell(item) == cell]
                if mine:
                    found[cell] = sorted(mine, key=lambda item: item.seed)
    return {cell: _crossings(items, config) for cell, items in found.items()}


def _cell(item: Transfer) -> Cell:
    return item.dataset, item.threat.eps255, item.attack.name


def _crossings(items: list[Transfer], config: SuiteConfig) -> list[Crossing]:
    """All pairs of predictors that every seed has."""
    places = [{_name(shown): i for i, shown in enumerate(item.predictors)} for item in items]
    order = {spec.label: i for i, spec in enumerate(config.specs())}
    names = [name for name in places[0] if all(name in place for place in places)]
    names.sort(key=lambda name: (order[name.architecture], name.kind == "network", config.methods.index(name.method)))
    both = list(zip(items, places, strict=True))
    return [
        Crossing(
            cell=_cell(items[0]),
            source=source,
            target=target,
            n_test=items[0].n_test,
            seeds=len(items),
            clean=sum(item.clean_correct[place[target]] / item.n_test for item, place in both) / len(items),
            robust=interval_of_counts(
                [(item.robust_correct[place[source]][place[target]], item.n_test) for item, place in both]
            ),
        )
        for source in names
        for target in names
    ]


def _name(shown: Shown) -> Name:
    return Name(
        architecture=shown.architecture.label, method=shown.method, checkpoint=shown.checkpoint, kind=shown.kind
    )


def names_of(pairs: Iterable[Crossing]) -> list[Name]:
    """The predictors, each once, in their order."""
    return list(dict.fromkeys(pair.target for pair in pairs))


COLUMNS = (
    *parted(("dataset", "eps255", "attack"), "cell"),
    *(
        Column(f"{role}_{part}", f"{role}.{part}")
        for role in ("source", "target")
        for part in ("architecture", "method", "checkpoint", "kind")
    ),
    Column("n_test"),
    Column("seeds"),
    Column("clean"),
    *parted(("robust", "lo", "hi"), "robust"),
)


def transfer_frame(suite: Suite) -> pd.DataFrame:
    """One row for each dataset, radius, attack, predictor that the images were made against, and predictor shown them.

    Returns:
        ``COLUMNS``; ``clean`` is the target's accuracy on clean images, ``robust`` that on images classified
        correctly both clean and as the source's attack left them, with its 95% interval ``lo``, ``hi`` over
        seeds and examples; fractions. Rows follow the configuration's lists, kernels before finite networks.
    """
    return csv_frame(COLUMNS, (pair for pairs in crossings(suite).values() for pair in pairs))
