"""Replays: pieces of a published suite computed again, by other code, and how far their results differ."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from operator import methodcaller
from typing import Any, TypeVar

import numpy as np

from advntk.foundation.errors import InputError
from advntk.telling.consistency import agree
from advntk.telling.contents import Curve, Measured, Suite
from advntk.telling.kinds import Order, kinds
from advntk.telling.kinds.fits import FitFacts
from advntk.telling.kinds.grams import GramFacts
from advntk.telling.mixing import UNKNOWN, Accepted, equivalents
from advntk.telling.publishing.pieces import Piece, gram_name, of_curve, of_fit

_FACTS = ("finished", "code", "processor", "device_name", "threads", "python", "versions")
_RESULT = {"training", "evaluations", "provenance", "timing"}
"""Fields of a record that a replay may change; all others are settings."""
_ROUNDING = 1e-9

T = TypeVar("T")


@dataclass(kw_only=True)
class Replay:
    """A published piece beside the same piece computed again; :class:`Accepted` says what the other fields are.

    Attributes:
        images: 0 where the piece has no records.
        flipped: positions of images with another outcome.
        points: of an experiment the largest difference of a number, percent of the largest number of its list.
        published: provenance of one of the published results.
        replay: the same of the replay.
    """

    piece: Piece
    images: int = 0
    flipped: set[int] = field(default_factory=set)
    points: float = 0.0
    curve_points: float = 0.0
    sources: dict[str, tuple[str, str]] = field(default_factory=dict)
    published: Mapping[str, Any] = field(default_factory=dict)
    replay: Mapping[str, Any] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """What came out, in one line."""
        return (
            f"{self.piece.words}: {len(self.flipped)} of {self.images} test images differ, accuracies by up to "
            f"{self.points:.2f} points, along training by {self.curve_points:.2f} on average; "
            f"{len(self.sources) or 'no'} module{'s' * (len(self.sources) != 1)} of other code"
        )

    def within(self, bound: float) -> bool:
        """Whether no accuracy differs by more than a bound in percentage points."""
        return max(self.points, self.curve_points) <= bound + _ROUNDING

    def accepted(self, bound: float) -> Accepted:
        """The replay as it is recorded."""
        return Accepted(
            cell=self.piece.words,
            sources=self.sources,
            images=self.images,
            differing=len(self.flipped),
            points=round(self.points, 4),
            curve_points=round(self.curve_points, 4),
            bound=bound,
            date=time.strftime("%Y-%m-%d", time.gmtime()),
            published={key: self.published[key] for key in _FACTS if key in self.published},
            replay={key: self.replay[key] for key in _FACTS if key in self.replay},
        )


def replays(published: Suite, again: Suite) -> list[Replay]:
    """All pieces that both suites have, compared; an ``InputError`` for results of other settings, images or data."""
    suites, order, found = (published, again), Order(again), dict[Piece, Replay]()

    def of(piece: Piece) -> Replay:
        return found.setdefault(piece, Replay(piece=piece))

    for first, second in _matched(suites, lambda suite: suite.measured, lambda item: order.record(item.record)):
        _compare_records(of(of_fit(first.record)), first, second)
    fits = {of_fit(fit) for fit in again.of(FitFacts)}
    for one, other in _matched(suites, lambda suite: suite.curves, order.curve):
        replay = of(of_curve(other, fits))
        replay.curve_points = max(replay.curve_points, _curve_points(one, other))
    for kind in kinds().values():
        if kind.piece is not None:
            for one, other in _matched(suites, methodcaller("of", kind.model), partial(kind.key, order)):
                replay = of(kind.piece(other))
                replay.points = max(replay.points, kind.apart(one, other))
                if hasattr(one, "provenance"):
                    _trace(replay, one.provenance, other.provenance)
    behind = {
        gram_name(one): (one, other) for one, other in _matched(suites, lambda suite: suite.of(GramFacts), gram_name)
    }
    for fit in again.of(FitFacts):
        if fit.kind == "kernel" and of_fit(fit) in found and gram_name(fit) in behind:
            _trace(of(of_fit(fit)), *(gram.provenance for gram in behind[gram_name(fit)]))
    return list(found.values())


def accepted(published: Suite, found: Sequence[Replay], bound: float) -> Suite:
    """Return the published suite with the code of its replays accepted as equivalent to its own.

    It is the same suite where the replays have no other code than what is accepted already.

    Raises:
        InputError: nothing was replayed, or a replay differs by more than the bound (percentage points).
    """
    if not found:
        what, remedy = "no piece in common with the results", "run one of its cells again, with all attacks and radii"
        raise InputError(what, where=published.config.suite, remedy=remedy)
    for replay in found:
        if not replay.within(bound):
            remedy = "find out what changed in the code; --bound POINTS allows more"
            raise InputError(f"{replay.words}: more than {bound:g} points", where="replay", remedy=remedy)
    new = [
        replay.accepted(bound) for replay in found if any(_is_new(published, *pair) for pair in replay.sources.items())
    ]
    return replace(published, accepted=(*published.accepted, *new)) if new else published


def _is_new(published: Suite, module: str, digests: tuple[str, str]) -> bool:
    """Whether two digests of a module are not known to be equivalent."""
    same = equivalents(module, published.accepted)
    return len({same.get(digest, digest) for digest in digests}) > 1


def _matched(
    suites: tuple[Suite, Suite], results: Callable[[Suite], Iterable[T]], key: Callable[[T], Hashable]
) -> list[tuple[T, T]]:
    """The results that both suites have, side by side."""
    first, second = ({key(one): one for one in results(suite)} for suite in suites)
    return [(one, second[name]) for name, one in first.items() if name in second]


def _trace(replay: Replay, first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    """Note the code of two results of a piece; an ``InputError`` where they are of different data."""
    data = [made.get("data", UNKNOWN) for made in (first, second)]
    if data[0] != data[1]:
        what = f"is of data {data[1]}, the published one of {data[0]}"
        raise InputError(
            what, where=replay.piece.words, remedy="use the same data: results of other data are never mixed"
        )
    if not replay.replay:
        replay.published, replay.replay = first, second
    theirs = second.get("sources", {})
    for module, digest in first.get("sources", {}).items():
        if theirs.get(module, digest) != digest:
            replay.sources[module] = (digest, theirs[module])


def _compare_records(replay: Replay, first: Measured, second: Measured) -> None:
    """Compare outcomes of one attack on a fit; an ``InputError`` where the records are not of the same settings."""
    before, now = (item.record.model_dump(mode="json", exclude=_RESULT) for item in (first, second))
    other = [key for key in before if not agree(before[key], now[key])]
    other += ["checkpoints"] if first.robust.keys() != second.robust.keys() else []
    if other:
        what = f"is not a replay of {first.path}: {', '.join(other)} differ"
        raise InputError(what, where=second.path, remedy="run it with the settings of the published one")
    _trace(replay, first.record.provenance, second.record.provenance)
    replay.images = len(second.images)
    for kind in ("clean", "robust"):
        mine, theirs = getattr(first, kind), getattr(second, kind)
        for checkpoint in mine:
            replay.flipped |= set(np.flatnonzero(mine[checkpoint] != theirs[checkpoint]).tolist())
            points = 100 * abs(float(mine[checkpoint].mean()) - float(theirs[checkpoint].mean()))
            replay.points = max(replay.points, points)


def _curve_points(first: Curve, second: Curve) -> float:
    """Mean difference of the accuracies of two curves, percentage points; infinite where they have other steps."""
    rows = [curve.rows.set_index(["step", "split"])[["clean_accuracy", "robust_accuracy"]] for curve in (first, second)]
    if not rows[0].index.equals(rows[1].index):
        return np.inf
    return float(100 * np.abs(rows[0].to_numpy() - rows[1].to_numpy()).mean())
