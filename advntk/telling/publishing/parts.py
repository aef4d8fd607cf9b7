"""Parts of a suite: adding finished pieces to those that are published, and what it still lacks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from advntk.foundation.config import SuiteConfig
from advntk.foundation.errors import InputError
from advntk.foundation.findings import Finding
from advntk.foundation.strength import Transfer
from advntk.telling.contents import Result, Suite
from advntk.telling.kinds import Kind, Order, kinds
from advntk.telling.kinds.fits import FitFacts
from advntk.telling.kinds.grams import GramFacts
from advntk.telling.kinds.splits import SplitFacts
from advntk.telling.publishing.packed import as_published
from advntk.telling.publishing.pieces import Piece, fits_of, gram_name, of_curve, of_fit, seeds_in_words

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


@dataclass(frozen=True, kw_only=True)
class Change:
    """What adding to a published suite changes.

    Attributes:
        added: pieces that were not published.
        replaced: published pieces that gave way to other results.
        kept: published pieces that differ from results that were to be added, and stay.
    """

    added: Sequence[Piece]
    replaced: Sequence[Piece]
    kept: Sequence[Piece]


def keep(suite: Suite, wanted: Callable[[Piece], bool]) -> Suite:
    """The same suite with some of its pieces, the Gram matrices behind them, and all splits."""
    fits = {of_fit(fit) for fit in suite.of(FitFacts)}
    found = {
        kind.model: [pair for pair in suite.placed(kind.model) if kind.piece is None or wanted(kind.piece(pair[1]))]
        for kind in kinds().values()
    }
    chosen = replace(
        suite,
        measured=tuple(item for item in suite.measured if wanted(of_fit(item.record))),
        curves=tuple(curve for curve in suite.curves if wanted(of_curve(curve, fits))),
        results=found,
    )
    return _only(chosen, GramFacts, lambda gram: _is_behind(gram, chosen))


def nothing_of(suite: Suite) -> Suite:
    """The same suite without results, but for its splits."""
    return replace(keep(suite, lambda _: False), command="")


def finished_fits(suite: Suite) -> set[Piece]:
    """Fits that are there with their Gram matrix, and with all that is asked of their cells."""
    config, fits = suite.config, {of_fit(fit): fit for fit in suite.of(FitFacts)}
    there = {(of_fit(one), one.threat.eps255, name) for one, name in of_cells(suite)}
    grams = {gram_name(gram) for gram in suite.of(GramFacts)}
    return {
        piece
        for piece, fit in fits.items()
        if (fit.kind == "network" or gram_name(fit) in grams)
        and all(
            (piece, eps255, name) in there
            for eps255 in (config.eps255 if piece.eps255 is None else [piece.eps255])
            for name in asked(config)
        )
    }


def add(published: Suite, found: Suite, *, replace_published: bool) -> tuple[Suite, Change]:
    """Return a published suite with finished pieces of another run of it, in its order, and what changed.

    A transfer whose fits are not those of the whole is left out; nothing else is checked.

    Args:
        published: what there is so far; without results where nothing is.
        found: finished pieces; its configuration becomes that of the whole.
        replace_published: take pieces that are published too, where they differ; otherwise only in place of pieces that
            lack something of the new configuration, such as an attack, and of those that have grown and lost nothing.
    """
    known, new = _contents(published), _contents(found)
    grown = replace(published, config=found.config)
    unfinished = {piece for piece in known if not piece.other} - finished_fits(grown)
    differing = {piece for piece, content in new.items() if piece in known and content != known[piece]}
    grown_ones = {piece for piece in differing if all(one in new[piece] for one in known[piece])}
    taken = (new.keys() - known.keys()) | (differing if replace_published else differing & (unfinished | grown_ones))
    whole = _joined(keep(grown, lambda piece: piece not in taken), keep(found, lambda piece: piece in taken))
    more = (one for one in found.accepted if one not in published.accepted)
    whole = replace(whole, command=published.command or found.command, accepted=(*published.accepted, *more))
    whole = _only(_sorted(whole), Transfer, lambda one: _fits_are_there(one, whole))
    there = _contents(whole)
    changed = [piece for piece in there if piece in taken]
    return whole, Change(
        added=[piece for piece in changed if piece not in known],
        replaced=[piece for piece in changed if piece in known],
        kept=[piece for piece in there if piece in differing - taken],
    )


def _contents(suite: Suite) -> dict[Piece, list[Any]]:
    """What each piece of a suite holds, as it is published."""
    found: dict[Piece, list[Any]] = {}
    for item in suite.measured:
        found.setdefault(of_fit(item.record), []).append(as_published(item.record))
    for kind in kinds().values():
        if kind.piece is not None:
            for one in suite.of(kind.model):
                found.setdefault(kind.piece(one), []).append(as_published(one))
    return found


def _joined(first: Suite, second: Suite) -> Suite:
    """Two suites that have no piece in common, with the same data; of what is shared by pieces, the first one's."""
    _require_same_data(first, second)
    order = Order(second)
    found = {}
    for kind in kinds().values():
        known = set() if kind.piece else {kind.key(order, one) for one in first.of(kind.model)}
        more = [pair for pair in second.placed(kind.model) if kind.key(order, pair[1]) not in known]
        found[kind.model] = [*first.placed(kind.model), *more]
    measured, curves = (*first.measured, *second.measured), (*first.curves, *second.curves)
    return replace(first, measured=measured, curves=curves, results=found)


def _require_same_data(published: Suite, found: Suite) -> None:
    """Refuse other arrays of a dataset, and another split of the same seed."""
    arrays = {split.dataset: split.sha256 for split in published.of(SplitFacts) if split.sha256}
    splits = {(split.dataset, split.seed): split.hash for split in published.of(SplitFacts)}
    for where, split in found.placed(SplitFacts):
        sha256 = arrays.get(split.dataset, split.sha256)
        if split.sha256 and split.sha256 != sha256:
            raise InputError(
                f"the arrays of {split.dataset} have SHA-256 {split.sha256}, those of the published part {sha256}",
                where=where,
                remedy="run the suite with the data of the published one; data are never mixed",
            )
        if (known := splits.get((split.dataset, split.seed), split.hash)) != split.hash:
            raise InputError(
                f"is another split of {split.dataset}, seed {split.seed}, than the published one ({known}): "
                "other images, labels or sizes",
                where=where,
                remedy="run the suite with the data and dataset_options of the published one; data are never mixed",
            )


def _sorted(suite: Suite) -> Suite:
    """The same in the order of the configuration's lists, equal places as they stand."""
    order = Order(suite)

    def ordered(kind: Kind) -> list[tuple[str, Any]]:
        return sorted(suite.placed(kind.model), key=lambda pair: kind.place(order, pair[1]))

    return replace(
        suite,
        measured=tuple(sorted(suite.measured, key=lambda item: order.record(item.record))),
        curves=tuple(sorted(suite.curves, key=order.curve)),
        results={kind.model: ordered(kind) for kind in kinds().values()},
    )


def _only(suite: Suite, model: type[Result], wanted: Callable[[Result], bool]) -> Suite:
    """The same suite with some results of one kind."""
    return replace(suite, results={**suite.results, model: [pair for pair in suite.results[model] if wanted(pair[1])]})


def _is_behind(gram: GramFacts, suite: Suite) -> bool:
    """Whether a kernel's fit was computed from a Gram matrix, as far as both name their content."""
    content = gram.provenance.get("content")
    for fit in suite.of(FitFacts):
        if fit.kind == "kernel" and gram_name(fit) == gram_name(gram):
            used = fit.provenance.get("inputs", {}).get("gram")
            if not (used and content) or used == content:
                return True
    return False


def _fits_are_there(transfer: Transfer, suite: Suite) -> bool:
    """Whether a suite has the fits that a transfer was computed from, as far as their contents are known."""
    contents = {of_fit(fit): fit.provenance.get("content") for fit in suite.of(FitFacts)}
    pieces = fits_of(transfer, suite.of(FitFacts))
    used = transfer.provenance.get("inputs", {}).get("fits") or [None] * len(pieces)
    return all(
        piece in contents and (digest is None or contents[piece] in (None, digest))
        for piece, digest in zip(pieces, used, strict=True)
    )
