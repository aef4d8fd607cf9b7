"""The table of transfer: do the images made against one predictor break another, kernel to finite network and back?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from advntk.telling import labels
from advntk.telling.listing import EMPTY, Listing, write_listings
from advntk.telling.suite_file import Suite
from advntk.telling.transfer import Cell, Crossing, Name, crossings, transfer_frame


def write_transfer(suite: Suite, out_csv: str | Path) -> None:
    """Write ``out_csv``, and beside it what it says of kernel and finite network of one architecture as md and tex.

    Args:
        suite: what was measured.
        out_csv: path of the CSV file; fractions, six digits.
    """
    listings = [_listing(cell, found, labels.NORMS[suite.config.norm]) for cell, found in crossings(suite).items()]
    title = f"Transfer between infinitely wide and finite networks: suite {suite.config.suite}"
    write_listings(title, transfer_frame(suite), listings, out_csv, notes=suite.notes)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A kernel and a finite network of one architecture; accuracies in percent with half the width of the interval.

    Attributes:
        clean: of kernel and network.
        own: of kernel and network under their own images (white-box).
        other: of the kernel on the network's images, and of the network on the kernel's.
    """

    kernel: Name
    network: Name
    clean: tuple[float, float]
    own: tuple[tuple[float, float], tuple[float, float]]
    other: tuple[tuple[float, float], tuple[float, float]]

    def shares(self) -> tuple[float | None, float | None]:
        """Of what kernel and network lose to their own images, what they lose to the other's.

        Returns:
            Percent; None where nothing is lost to its own.
        """
        losses = [
            (clean - other[0], clean - own[0])
            for clean, own, other in zip(self.clean, self.own, self.other, strict=True)
        ]
        kernel, network = (100 * lost / at_most if at_most > 0 else None for lost, at_most in losses)
        return kernel, network


def _pairs(found: list[Crossing]) -> Iterator[Pair]:
    """All pairs of a kernel and a finite network of one architecture."""
    clean = {pair.target: 100 * pair.clean for pair in found}
    cells = {
        (pair.source, pair.target): (100 * pair.robust[0], 50 * (pair.robust[2] - pair.robust[1])) for pair in found
    }
    for kernel, network in cells:
        if (kernel.kind, network.kind) == ("kernel", "network") and kernel.architecture == network.architecture:
            yield Pair(
                kernel=kernel,
                network=network,
                clean=(clean[kernel], clean[network]),
                own=(cells[kernel, kernel], cells[network, network]),
                other=(cells[network, kernel], cells[kernel, network]),
            )


def _listing(cell: Cell, found: list[Crossing], norm: str) -> Listing:
    """The printed table of one dataset, radius and attack."""
    dataset, eps255, attack = cell
    pairs = list(_pairs(found))
    n_test, seeds = found[0].n_test, found[0].seeds
    alone = " (one seed: the spread over seeds is not in it)" if seeds == 1 else ""
    lines = [
        [
            *(pair.kernel.architecture, labels.method_label(pair.kernel.method, pair.kernel.checkpoint)),
            labels.method_label(pair.network.method, pair.network.checkpoint),
            *(f"{value:.1f}" for value in pair.clean),
            *(f"{mean:.1f} ± {half:.1f}" for mean, half in (*pair.own, pair.other[1], pair.other[0])),
        ]
        for pair in pairs
    ]
    return Listing(
        title=f"{dataset}, {labels.radius_label(eps255)} ({norm}), attack {attack}",
        caption=(
            "Accuracy in percent, ± half the width of its 95% interval over seeds and test images"
            f"{alone}; n_test = {n_test}, seeds = {seeds}. White-box: on images made against the "
            "predictor itself. Kernel → net: the finite network on images made against the kernel; net → kernel: back. "
            "Where a predictor is right less often on the other's images than on its own, its own attack missed images "
            "that break it."
        ),
        head=[
            *("network", "kernel", "net", "kernel clean", "net clean"),
            *("kernel white-box", "net white-box", "kernel → net", "net → kernel"),
        ],
        lines=lines,
        notes=_answers(pairs),
        words=3,
    )


def _answers(pairs: list[Pair]) -> list[str]:
    """Of each architecture in a sentence: what part of the white-box loss the other's images reach, both ways."""
    notes = []
    for architecture in dict.fromkeys(pair.kernel.architecture for pair in pairs):
        shares = [pair.shares() for pair in pairs if pair.kernel.architecture == architecture]
        to_kernel, to_network = (_span([share[side] for share in shares]) for side in (0, 1))
        notes.append(
            f"{architecture}: images made against the kernel cost the finite network {to_network} of the accuracy that "
            f"images made against itself cost it; back, the network's cost the kernel {to_kernel}."
        )
    return notes


def _span(shares: list[float | None]) -> str:
    """``81%``, or ``70 to 81%`` where pairs differ."""
    known = [round(share) for share in shares if share is not None]
    if not known:
        return EMPTY
    low, high = min(known), max(known)
    return f"{low}%" if low == high else f"{low} to {high}%"
