"""The table of transfer: do the images made against one predictor break another, kernel to finite network and back?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from advntk.telling.frames import span_of
from advntk.telling.labels import NORMS, method_label, radius_label
from advntk.telling.listing import EMPTY, Column, Listing, accuracy, listing_of, percent
from advntk.telling.suite_file import Suite
from advntk.telling.transfer import Crossing, crossings


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A kernel and a finite network of one architecture.

    Attributes:
        kernel: on its own images (white-box).
        network: the same of the network.
        to_network: the network on the kernel's images.
        to_kernel: the kernel on the network's images.
    """

    kernel: Crossing
    network: Crossing
    to_network: Crossing
    to_kernel: Crossing


COLUMNS = (
    Column(of="kernel.target.architecture", head="network", words=True),
    Column(of=lambda pair: _label(pair.kernel), head="kernel", words=True),
    Column(of=lambda pair: _label(pair.network), head="net", words=True),
    Column(of="kernel.clean", head="kernel clean", text=percent),
    Column(of="network.clean", head="net clean", text=percent),
    Column(of="kernel.robust", head="kernel white-box", text=accuracy),
    Column(of="network.robust", head="net white-box", text=accuracy),
    Column(of="to_network.robust", head="kernel → net", text=accuracy),
    Column(of="to_kernel.robust", head="net → kernel", text=accuracy),
)


def _label(crossing: Crossing) -> str:
    return method_label(crossing.target.method, crossing.target.checkpoint)


def transfer_listings(suite: Suite) -> Iterator[Listing]:
    """A printed table for each dataset, radius and attack."""
    for (dataset, eps255, attack), found in crossings(suite).items():
        pairs, seeds = list(_pairs(found)), found[0].seeds
        alone = " (one seed: the spread over seeds is not in it)" if seeds == 1 else ""
        yield listing_of(
            COLUMNS,
            pairs,
            title=f"{dataset}, {radius_label(eps255)} ({NORMS[suite.config.norm]}), attack {attack}",
            caption="Accuracy in percent, ± half the width of its 95% interval over seeds and test images"
            f"{alone}; n_test = {found[0].n_test}, seeds = {seeds}. White-box: on images made against the predictor "
            "itself. Kernel → net: the finite network on images made against the kernel; net → kernel: back. Where a "
            "predictor is right less often on the other's images than on its own, its own attack missed images that "
            "break it.",
            notes=list(_answers(pairs)),
        )


def _pairs(found: Sequence[Crossing]) -> Iterator[Pair]:
    """All pairs of a kernel and a finite network of one architecture."""
    cells = {(one.source, one.target): one for one in found}
    for kernel, network in cells:
        if (kernel.kind, network.kind) == ("kernel", "network") and kernel.architecture == network.architecture:
            yield Pair(
                kernel=cells[kernel, kernel],
                network=cells[network, network],
                to_network=cells[kernel, network],
                to_kernel=cells[network, kernel],
            )


def _answers(pairs: Sequence[Pair]) -> Iterator[str]:
    """Of each architecture in a sentence: what part of the white-box loss the other's images reach, both ways."""
    for architecture in dict.fromkeys(pair.kernel.target.architecture for pair in pairs):
        mine = [pair for pair in pairs if pair.kernel.target.architecture == architecture]
        to_network = _shares((pair.network, pair.to_network) for pair in mine)
        to_kernel = _shares((pair.kernel, pair.to_kernel) for pair in mine)
        yield (
            f"{architecture}: images made against the kernel cost the finite network {to_network} of the accuracy that "
            f"images made against itself cost it; back, the network's cost the kernel {to_kernel}."
        )


def _shares(losses: Iterable[tuple[Crossing, Crossing]]) -> str:
    """Of what predictors lose to their own images, what they lose to the other's: ``81%``, or ``70–81%``."""
    lost = [(own.clean - own.robust[0], own.clean - other.robust[0]) for own, other in losses]
    shares = [round(100 * to_other / to_own) for to_own, to_other in lost if to_own > 0]
    return f"{span_of(shares)}%" if shares else EMPTY
