"""The kinds of results that a suite has as JSON files; a new kind is one entry here and one attribute of the suite.

Records and curves are apart: test outcomes lie beside a record, and curves are CSV.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from advntk.foundation.findings import Finding, read_finding
from advntk.foundation.options import Closed
from advntk.foundation.recipes import Check, read_check
from advntk.foundation.records import Record
from advntk.foundation.strength import Sweep, Transfer, read_sweep, read_transfer
from advntk.telling import pieces
from advntk.telling.contents import Suite
from advntk.telling.curves import Curve
from advntk.telling.facts import FitFacts, GramFacts, SplitFacts, read_fit, read_gram, read_split_facts
from advntk.telling.pieces import Piece


class Order:
    """The order of results: that of the configuration's lists."""

    def __init__(self, suite: Suite) -> None:
        config = suite.config
        self._lists: dict[str, list[Any]] = {
            "dataset": config.datasets,
            "network": [spec.label for spec in config.specs()],
            "method": config.methods,
            "eps255": config.eps255,
            "attack": config.attacks,
            "sweep": list(config.sweeps),
            "transfer": config.transfer,
            "experiment": list(config.experiments),
        }
        self._splits = {split.hash: (split.dataset, split.seed) for split in suite.splits}

    def at(self, **names: Any) -> tuple[int, ...]:
        """Positions in the lists that the keywords name, last what a list lacks; other keywords are numbers."""
        found = []
        for key, value in names.items():
            known = self._lists.get(key)
            found.append(int(value) if known is None else known.index(value) if value in known else len(known))
        return tuple(found)

    def cell(self, one: Any, eps255: float | None) -> tuple[int, ...]:
        """Position of something of one dataset, network, method, radius (None: all radii) and seed."""
        place = self.at(dataset=one.dataset, network=one.architecture.label, method=one.method)
        return (*place, -1 if eps255 is None else self.at(eps255=eps255)[0], one.seed)

    def record(self, record: Record) -> tuple[int, ...]:
        """Position of a record."""
        return (*self.cell(record, record.threat.eps255), *self.at(attack=record.attack.name))

    def curve(self, curve: Curve) -> tuple[int, ...]:
        """Position of a curve."""
        cell = {"dataset": curve.dataset, "network": curve.architecture, "method": curve.method}
        return self.at(**cell, eps255=curve.eps255, seed=curve.seed)

    def gram(self, gram: GramFacts) -> tuple[int, ...]:
        """Position of a Gram matrix: dataset, network, seed."""
        dataset, seed = self._splits.get(gram.split_hash, ("", 0))
        return self.at(dataset=dataset, network=gram.architecture.label, seed=seed)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of result.

    Attributes:
        name: of its list in a suite file, of the suite's attribute, and of its part in a published suite.
        what: one of them, in messages.
        model: of one.
        read: reads one from the file that a suite file lists.
        part: what distinguishes the parts of a published suite that hold them, such as the dataset.
        place: position among its kind.
        piece: what it is published with; None: it is shared by pieces.
        identity: which one it is, where its position does not tell.
        made: its name for results computed from it, and the names of what it was computed from, as
            :class:`advntk.telling.mixing.Made` has them.
    """

    name: str
    what: str
    model: type[Closed]
    read: Callable[[str], Any]
    part: Callable[[Any], str] = lambda _: ""
    place: Callable[[Order, Any], tuple[int, ...]]
    piece: Callable[[Any], Piece] | None = None
    identity: Callable[[Any], Hashable] | None = None
    made: Callable[[Any, Suite], dict[str, Any]] = lambda _, __: {}

    def key(self, order: Order, one: Any) -> Hashable:
        """What distinguishes a result from others of its kind."""
        return self.identity(one) if self.identity else self.place(order, one)

    @property
    def traced(self) -> bool:
        """Whether its results carry a provenance."""
        return "provenance" in self.model.model_fields

    def file(self, one: Any) -> str:
        """Name of the part of a published suite that holds a result."""
        return f"{self.name}-{self.part(one)}.json" if self.part(one) else f"{self.name}.json"

    def holds(self, file: str) -> bool:
        """Whether a part of a published suite holds results of this kind."""
        return file == f"{self.name}.json" or file.startswith(f"{self.name}-")


def gram_name(one: GramFacts | FitFacts) -> tuple[str, str]:
    """The name of a Gram matrix, or of the one behind a kernel's fit: split and network."""
    return one.split_hash, one.architecture.label


KINDS = (
    Kind(
        name="splits",
        what="split",
        model=SplitFacts,
        read=read_split_facts,
        part=lambda one: str(one.dataset),
        place=lambda order, one: order.at(dataset=one.dataset, seed=one.seed),
        identity=lambda one: (one.dataset, one.seed),
    ),
    Kind(
        name="fits",
        what="fit",
        model=FitFacts,
        read=read_fit,
        place=lambda order, one: order.cell(one, one.trained_at.eps255 if one.trained_at else None),
        piece=pieces.of_fit,
        made=lambda one, _: {"name": pieces.of_fit(one), "of": {"gram": [gram_name(one)]}},
    ),
    Kind(
        name="grams",
        what="Gram matrix's file",
        model=GramFacts,
        read=read_gram,
        place=Order.gram,
        identity=lambda one: (*gram_name(one), one.provenance.get("content")),
        made=lambda one, _: {"name": gram_name(one)},
    ),
    Kind(
        name="checks",
        what="convergence check",
        model=Check,
        read=read_check,
        place=lambda order, one: order.cell(one, one.trained_at.eps255),
        piece=pieces.of_check,
        made=lambda one, _: {"of": {"fit": [pieces.of_fit(one)]}},
    ),
    Kind(
        name="sweeps",
        what="sweep",
        model=Sweep,
        read=read_sweep,
        place=lambda order, one: (*order.cell(one, one.threat.eps255), *order.at(sweep=one.kind)),
        piece=pieces.of_fit,
        made=lambda one, _: {"of": {"fit": [pieces.of_fit(one)]}},
    ),
    Kind(
        name="transfers",
        what="transfer",
        model=Transfer,
        read=read_transfer,
        place=lambda order, one: order.at(
            dataset=one.dataset, eps255=one.threat.eps255, transfer=one.attack.name, seed=one.seed
        ),
        piece=pieces.of_transfer,
        made=lambda one, suite: {"of": {"fits": pieces.fits_of(one, suite.fits)}},
    ),
    Kind(
        name="findings",
        what="finding",
        model=Finding,
        read=read_finding,
        part=lambda one: str(one.experiment),
        place=lambda order, one: order.at(experiment=one.experiment),
        piece=pieces.of_finding,
        identity=lambda one: (one.experiment, one.unit),
    ),
)
