"""The kinds of results that a suite has as JSON files: one module each, with its table and its figure.

Records and curves are apart: test outcomes lie beside a record, and curves are CSV.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from advntk.foundation import files, registry
from advntk.foundation.options import Closed
from advntk.foundation.records import Record, as_model

if TYPE_CHECKING:
    from advntk.foundation.config import SuiteConfig
    from advntk.telling.contents import Curve, Suite
    from advntk.telling.layout import Picture
    from advntk.telling.listing import Table
    from advntk.telling.publishing.pieces import Piece

_FIRST = ("splits", "fits", "grams", "checks", "sweeps", "transfers", "findings")
"""The order in which they are published; all others follow."""

Facts = TypeVar("Facts", bound=Closed)


class Order:
    """The order of results: that of the configuration's lists."""

    def __init__(self, suite: Suite) -> None:
        config = suite.config
        self.suite = suite
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

    def fit(self, one: Any) -> tuple[int, ...]:
        """Position of a fit, or of something about one: its radius is the one that it was trained for."""
        return self.cell(one, one.trained_at.eps255 if one.trained_at else None)

    def record(self, record: Record) -> tuple[int, ...]:
        """Position of a record."""
        return (*self.cell(record, record.threat.eps255), *self.at(attack=record.attack.name))

    def curve(self, curve: Curve) -> tuple[int, ...]:
        """Position of a curve."""
        cell = {"dataset": curve.dataset, "network": curve.architecture, "method": curve.method}
        return self.at(**cell, eps255=curve.eps255, seed=curve.seed)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of result: the ``ENTRY`` of its module, whose name is that of its list in a suite file.

    Attributes:
        what: one of them, in messages.
        model: of one.
        read: reads one from the file that a suite file lists.
        part: what distinguishes the parts of a published suite that hold them, such as the dataset.
        place: position among its kind.
        piece: what it is published with; None: it is shared by pieces.
        identity: which one it is, where its position does not tell.
        made: its name for results computed from it, and the names of what it was computed from, as
            :class:`advntk.telling.mixing.Made` has them.
        asked: names of those that every cell of a suite must have, after ``what``; one that has no name is ``""``. The
            cell's radius is that of their ``threat``.
        called: name of one among those of its cell.
        check: refuses a suite whose results contradict one another.
        apart: how far two of them are apart, percentage points; by default they hold no accuracies to compare.
        rule: that computes them, in the table of cost; empty: they are not in it. An ``attack`` of theirs is an
            :class:`~advntk.foundation.records.AttackRecord`.
        tables: of these results, by name.
        figures: of these results, by name.
    """

    what: str
    model: type[Closed]
    read: Callable[[str], Any]
    part: Callable[[Any], str] = lambda _: ""
    place: Callable[[Order, Any], tuple[int, ...]]
    piece: Callable[[Any], Piece] | None = None
    identity: Callable[[Any], Hashable] | None = None
    made: Callable[[Any, Suite], dict[str, Any]] = lambda _, __: {}
    asked: Callable[[SuiteConfig], Sequence[str]] = lambda _: ()
    called: Callable[[Any], str] = lambda _: ""
    check: Callable[[Suite], None] = lambda _: None
    apart: Callable[[Any, Any], float] = lambda _, __: 0.0
    rule: str = ""
    tables: Mapping[str, Table] = field(default_factory=dict)
    figures: Mapping[str, Picture] = field(default_factory=dict)

    def key(self, order: Order, one: Any) -> Hashable:
        """What distinguishes a result from others of its kind."""
        return self.identity(one) if self.identity else self.place(order, one)


@cache
def kinds() -> dict[str, Kind]:
    """All kinds by name, in the order in which they are published."""
    names = dict.fromkeys([*_FIRST, *registry.names(__name__)])
    return {name: registry.get(__name__, name) for name in names}


def traced(suite: Suite) -> dict[str, Sequence[tuple[str, Any]]]:
    """All results that carry a provenance, each after its file, by the name of their list; records come first."""
    own = {name: suite.placed(kind.model) for name, kind in kinds().items() if "provenance" in kind.model.model_fields}
    return {"records": [(item.path, item.record) for item in suite.measured], **own}


def read_facts(model: type[Facts], what: str, path: str | Path) -> Facts:
    """Read those keys of a JSON file that a model has; a wrong file is an ``InputError``."""
    content = files.read_json(path)
    if isinstance(content, dict):
        content = {key: content[key] for key in model.model_fields if key in content}
    return as_model(content, model, what, where=path)
