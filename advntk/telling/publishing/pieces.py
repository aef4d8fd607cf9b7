"""Pieces of a suite: what is published as a whole, and replaced as a whole."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from advntk.foundation.certified import Certificates
from advntk.foundation.findings import Finding
from advntk.foundation.recipes import Check
from advntk.foundation.records import Record
from advntk.foundation.strength import Sweep, Transfer
from advntk.telling.contents import Curve

if TYPE_CHECKING:
    from advntk.telling.kinds.fits import FitFacts
    from advntk.telling.kinds.grams import GramFacts


CHECK = "convergence check"


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A fit with all that is measured on it alone, a convergence check, a transfer, or all units of an experiment.

    Attributes:
        network: label of the network; empty for transfers and experiments, as ``method`` is.
        eps255: radius that the fit was trained for, None where its method ignores it; radius of a transfer.
        other: ``convergence check``, ``transfer of ATTACK`` or ``experiment NAME``; empty for a fit.
    """

    dataset: str = ""
    network: str = ""
    method: str = ""
    seed: int | None = None
    eps255: float | None = None
    other: str = ""

    @property
    def group(self) -> str:
        """The piece in words, without its seed."""
        words = " / ".join(word for word in (self.dataset, self.network, self.method, self.other) if word)
        return words if self.eps255 is None else f"{words}, ε = {self.eps255:g}/255"

    @property
    def words(self) -> str:
        """The piece in words: ``digits / mlp-3 / at, ε = 16/255, seed 0``."""
        return self.group if self.seed is None else f"{self.group}, seed {self.seed}"


def of_fit(result: Record | Sweep | Certificates | FitFacts | Check) -> Piece:
    """The fit, or the one that a record or a sweep is about."""
    return Piece(
        dataset=result.dataset,
        network=result.architecture.label,
        method=result.method,
        seed=result.seed,
        eps255=result.trained_at.eps255 if result.trained_at else None,
    )


def gram_name(one: GramFacts | FitFacts) -> tuple[str, str]:
    """The name of a Gram matrix, or of the one behind a kernel's fit: split and network."""
    return one.split_hash, one.architecture.label


def of_curve(curve: Curve, fits: Container[Piece]) -> Piece:
    """The fit whose training a curve shows: the one of its radius, or the one of all radii."""
    own = Piece(
        dataset=curve.dataset,
        network=curve.architecture,
        method=curve.method,
        seed=curve.seed,
        eps255=curve.eps255,
    )
    return own if own in fits else replace(own, eps255=None)


def of_check(check: Check) -> Piece:
    """A convergence check by itself: it ends long after the fit that it is about."""
    return replace(of_fit(check), seed=None, other=CHECK)


def of_transfer(transfer: Transfer) -> Piece:
    """A transfer by itself."""
    eps255, attack = transfer.threat.eps255, transfer.attack.name
    return Piece(dataset=transfer.dataset, seed=transfer.seed, eps255=eps255, other=f"transfer of {attack}")


def of_finding(finding: Finding) -> Piece:
    """The experiment of a finding: its units are of use together only."""
    return Piece(other=f"experiment {finding.experiment}")


def fits_of(transfer: Transfer, fits: Iterable[FitFacts]) -> list[Piece]:
    """The fits that a transfer shows each other's images, in its order."""
    known = {of_fit(fit) for fit in fits}
    found = []
    for shown in transfer.predictors:
        network, method = shown.architecture.label, shown.method
        of_all_radii = Piece(dataset=transfer.dataset, network=network, method=method, seed=transfer.seed)
        own = replace(of_all_radii, eps255=transfer.threat.eps255)
        found.append(of_all_radii if of_all_radii in known else own)
    return found


def in_words(pieces: Iterable[Piece]) -> list[str]:
    """Pieces in words, those that differ by seed alone in one line."""
    groups: dict[str, list[int]] = {}
    for piece in pieces:
        groups.setdefault(piece.group, []).extend([] if piece.seed is None else [piece.seed])
    return [f"{group}: {seeds_in_words(seeds)}" if seeds else group for group, seeds in groups.items()]


def seeds_in_words(seeds: Sequence[int]) -> str:
    """``seed 0`` or ``seeds 0, 2``."""
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, sorted(seeds)))}"
