"""Transfers: accuracy of each predictor on the images made against every other, as a table and as a figure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from advntk.foundation.statistics import Interval
from advntk.foundation.strength import Shown, Transfer, read_transfer
from advntk.telling.accuracy_figures import attack_in_words, interval_of_counts
from advntk.telling.columns import shared
from advntk.telling.consistency import agree
from advntk.telling.contents import Suite
from advntk.telling.frames import ends, in_order, orders_of, span_of
from advntk.telling.kinds import Kind
from advntk.telling.kinds.fits import FitFacts
from advntk.telling.labels import NORMS, attack_label, method_label, radius_label
from advntk.telling.layout import Picture, grid
from advntk.telling.listing import (
    EMPTY,
    Column,
    Listing,
    Table,
    accuracy,
    groups,
    lines_of,
    listing_of,
    percent,
    table,
)
from advntk.telling.publishing import pieces

_CELL, _LETTER = 0.34, 0.064  # inches
_WIDEST = 14.0
_HALF = 47  # percent: darker cells have white numbers
_OUTLINE = "#d55e00"

_PLACE = ["dataset", "eps255", "attack"]
_PARTS = ("architecture", "method", "checkpoint", "kind")
_PREDICTORS = [f"{role}_{part}" for role in ("source", "target") for part in _PARTS]
ROBUST = ("robust", "lo", "hi")
COLUMNS = (
    *shared(*_PLACE),
    Column("source_architecture", "network that the images were made against, with its depth", "text"),
    Column("source_method", "method of the predictor that the images were made against", "text"),
    Column("source_checkpoint", "its checkpoint", "text"),
    Column("source_kind", "its kind, kernel or network", "text"),
    Column("target_architecture", "network that was shown the images, with its depth", "text"),
    Column("target_method", "method of the predictor that was shown the images", "text"),
    Column("target_checkpoint", "its checkpoint", "text"),
    Column("target_kind", "its kind, kernel or network", "text"),
    *shared("n_test", "seeds", "clean", *ROBUST),
)


def transfers(suite: Suite) -> pd.DataFrame:
    """Return one row for each dataset, radius, attack, predictor attacked (source), and predictor shown the images.

    Pairs are those that every seed has; rows follow the configuration's lists, kernels of an architecture before its
    finite networks.
    """
    methods, networks = suite.config.methods, [spec.label for spec in suite.config.specs()]

    def position(one: tuple[int, Shown]) -> tuple[int, bool, int]:
        _, shown = one
        return networks.index(shown.architecture.label), shown.kind == "network", methods.index(shown.method)

    lines = [
        {
            **{"dataset": item.dataset, "eps255": item.threat.eps255, "attack": item.attack.name, "seed": item.seed},
            **_named("source", source),
            **_named("target", target),
            "n_test": item.n_test,
            "clean": item.clean_correct[j] / item.n_test,
            "correct": item.robust_correct[i][j],
        }
        for item in sorted(suite.of(Transfer), key=lambda item: item.seed)
        for (i, source), (j, target) in itertools.product(sorted(enumerate(item.predictors), key=position), repeat=2)
    ]
    frame = pd.DataFrame(lines, columns=[*_PLACE, "seed", *_PREDICTORS, "n_test", "clean", "correct"])
    orders = orders_of(suite)
    frame = in_order(frame, {name: orders[name] for name in _PLACE}).sort_values(_PLACE, kind="stable")
    found = [
        {
            **dict(zip([*_PLACE, *_PREDICTORS], key, strict=True)),
            "n_test": mine["n_test"].iloc[0],
            "seeds": len(mine),
            "clean": mine["clean"].mean(),
            **dict(
                zip(ROBUST, interval_of_counts(list(zip(mine["correct"], mine["n_test"], strict=True))), strict=True)
            ),
        }
        for _, cell in groups(frame, _PLACE)
        for key, mine in cell.groupby([*_PLACE, *_PREDICTORS], observed=True, sort=False)
        if len(mine) == cell["seed"].nunique()
    ]
    return table(COLUMNS, found)


def _named(role: str, shown: Shown) -> dict[str, str]:
    values = (shown.architecture.label, shown.method, shown.checkpoint, shown.kind)
    return {f"{role}_{part}": value for part, value in zip(_PARTS, values, strict=True)}


def transfer_listings(suite: Suite) -> Iterator[Listing]:
    """A printed table for each dataset, radius and attack."""
    for (dataset, eps255, attack), found in groups(transfers(suite), _PLACE):
        pairs, seeds = pd.DataFrame(_pairs(found), columns=_PAIR), found["seeds"].iloc[0]
        alone = " (one seed: the spread over seeds is not in it)" if seeds == 1 else ""
        yield listing_of(
            PRINTED,
            pairs,
            title=f"{dataset}, {radius_label(eps255)} ({NORMS[suite.config.norm]}), attack {attack}",
            caption="Accuracy in percent, ± half the width of its 95% interval over seeds and test images"
            f"{alone}; n_test = {found['n_test'].iloc[0]}, seeds = {seeds}. White-box: on images made against the "
            "predictor itself. Kernel → net: the finite network on images made against the kernel; net → kernel: back. "
            "Where a predictor is right less often on the other's images than on its own, its own attack missed images "
            "that break it.",
            notes=list(_answers(pairs)),
        )


_PAIR = ["network", "kernel", "net", "kernel_clean", "net_clean", "kernel_own", "net_own", "to_net", "to_kernel"]
PRINTED = (
    *(Column(of=name, head=name, words=True) for name in ("network", "kernel", "net")),
    Column(of="kernel_clean", head="kernel clean", text=percent),
    Column(of="net_clean", head="net clean", text=percent),
    Column(of="kernel_own", head="kernel white-box", text=accuracy),
    Column(of="net_own", head="net white-box", text=accuracy),
    Column(of="to_net", head="kernel → net", text=accuracy),
    Column(of="to_kernel", head="net → kernel", text=accuracy),
)


def _pairs(found: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """All pairs of a kernel and a finite network of one architecture, each on its own images and on the other's."""
    cells = {(_predictor(one, "source"), _predictor(one, "target")): one for one in lines_of(found)}
    for (source, target), one in cells.items():
        kinds = one["source_kind"], one["target_kind"]
        if kinds == ("kernel", "network") and one["source_architecture"] == one["target_architecture"]:
            kernel, net, back = cells[source, source], cells[target, target], cells[target, source]
            yield {
                "network": one["source_architecture"],
                "kernel": method_label(one["source_method"], one["source_checkpoint"]),
                "net": method_label(one["target_method"], one["target_checkpoint"]),
                "kernel_clean": kernel["clean"],
                "net_clean": net["clean"],
                "kernel_own": ends(kernel, ROBUST),
                "net_own": ends(net, ROBUST),
                "to_net": ends(one, ROBUST),
                "to_kernel": ends(back, ROBUST),
            }


def _predictor(one: Mapping[str, Any], role: str) -> str:
    """A predictor in words, such as ``mlp-3 AT (last)``."""
    return f"{one[f'{role}_architecture']} {method_label(one[f'{role}_method'], one[f'{role}_checkpoint'])}"


def _answers(pairs: pd.DataFrame) -> Iterator[str]:
    """Of each architecture in a sentence: what part of the white-box loss the other's images reach, both ways."""
    for network, mine in pairs.groupby("network", sort=False):
        to_net, to_kernel = (
            _shares(zip(mine[f"{own}_clean"], mine[f"{own}_own"], mine[other], strict=True))
            for own, other in (("net", "to_net"), ("kernel", "to_kernel"))
        )
        yield (
            f"{network}: images made against the kernel cost the finite network {to_net} of the accuracy that "
            f"images made against itself cost it; back, the network's cost the kernel {to_kernel}."
        )


def _shares(found: Iterable[tuple[float, Interval, Interval]]) -> str:
    """Of what predictors lose to their own images, what they lose to the other's: ``81%``, or ``70–81%``."""
    lost = [(clean - own[0], clean - other[0]) for clean, own, other in found]
    shares = [round(100 * to_other / to_own) for to_own, to_other in lost if to_own > 0]
    return f"{span_of(shares)}%" if shares else EMPTY


def transfer(suite: Suite) -> Figure:
    """Accuracy of each predictor (column) on the images made against each (row), and on clean ones."""
    found = transfers(suite)
    attacks = {item.attack.name: item.attack for item in suite.of(Transfer)}
    bands: dict[str, dict[str, pd.DataFrame]] = {}
    for (dataset, eps255, attack), mine in groups(found, _PLACE):
        name = attack_label(attack, inside_threat_model=attacks[attack].inside_threat_model)
        bands.setdefault(dataset, {})[f"{radius_label(eps255)}\n{name}"] = mine
    names = [[_predictor(one, "target") for one in lines_of(mine)] for _, mine in groups(found, _PLACE)]
    most = max((len(set(own)) for own in names), default=0)
    room = _LETTER * max((len(name) for own in names for name in own), default=0)
    width = max(2.15, _CELL * most + 0.4 + room / 2)
    settings = "; ".join(map(attack_in_words, attacks.values()))
    sizes = f"seeds = {span_of(found['seeds'])}, n_test = {span_of(found['n_test'])}"
    return grid(
        bands,
        _draw,
        title="Transfer: accuracy (%) on images made against other predictors",
        notes=[
            *[f"{NORMS[suite.config.norm]} threat model; {settings}.", f"Means over seeds; {sizes}."]
            * bool(len(found)),
            *suite.notes,
        ],
        y_label="images made against",
        x_label="shown to",
        across=max(1, int(_WIDEST / width)),
        size=(width, _CELL * (most + 1) + 0.8 + room),
    )


def _draw(axes: Axes, pairs: pd.DataFrame) -> None:
    """One matrix with clean accuracies below it; the diagonal, the attack on the predictor itself, is outlined."""
    import seaborn as sns

    count = int(len(pairs) ** 0.5)
    shown = lines_of(pairs)[:count]
    texts = [_predictor(one, "target") for one in shown]
    values = 100 * np.vstack([pairs["robust"].to_numpy().reshape(count, count), pairs["clean"][:count]])
    sns.heatmap(
        values,
        **{"ax": axes, "cmap": "cividis", "vmin": 0, "vmax": 100, "cbar": False, "linewidths": 0.6},
        **{"annot": True, "fmt": ".0f", "annot_kws": {"size": 7}},
        **{"xticklabels": texts, "yticklabels": [*texts, "clean"]},
    )
    for text, value in zip(axes.texts, values.ravel(), strict=True):
        text.set_color("black" if value > _HALF else "white")
    for i in range(count):
        axes.add_patch(Rectangle((i, i), 1, 1, fill=False, edgecolor=_OUTLINE, linewidth=1.6, zorder=3, clip_on=False))
    for i, (before, after) in enumerate(itertools.pairwise(shown), start=1):
        other = before["target_architecture"] != after["target_architecture"]
        if other or before["target_kind"] != after["target_kind"]:
            width = 3.5 if other else 1.8
            axes.axhline(i, color="white", linewidth=width, zorder=2)
            axes.axvline(i, color="white", linewidth=width, zorder=2)
    axes.axhline(count, color="white", linewidth=6, zorder=2)
    axes.tick_params(axis="x", rotation=90)
    axes.tick_params(axis="y", rotation=0)


def _apart(first: Transfer, second: Transfer) -> float:
    same = (first.predictors, first.n_test) == (second.predictors, second.n_test)
    if not (same and agree(first.attack.model_dump(), second.attack.model_dump())):
        return np.inf
    counts = [np.array([one.clean_correct, *one.robust_correct]) for one in (first, second)]
    return float(100 * np.abs(counts[0] - counts[1]).max() / first.n_test)


ENTRY = Kind(
    what="transfer",
    model=Transfer,
    read=read_transfer,
    place=lambda order, one: order.at(
        dataset=one.dataset, eps255=one.threat.eps255, transfer=one.attack.name, seed=one.seed
    ),
    piece=pieces.of_transfer,
    made=lambda one, suite: {"of": {"fits": pieces.fits_of(one, suite.of(FitFacts))}},
    apart=_apart,
    rule="transfer",
    tables={
        "transfer": Table("Transfer between infinitely wide and finite networks", COLUMNS, transfers, transfer_listings)
    },
    figures={
        "transfer": Picture(
            title="transfer between predictors", wanted=lambda suite: bool(suite.of(Transfer)), draw=transfer
        )
    },
)
