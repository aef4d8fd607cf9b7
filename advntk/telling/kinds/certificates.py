"""Certificates: which images no attack breaks, beside what attacks leave of the same images; a table and a figure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from advntk.foundation.certified import Certificates, CertifiedRadius, read_certificates
from advntk.foundation.errors import InputError
from advntk.foundation.statistics import accuracy_interval
from advntk.foundation.threat import ThreatModel
from advntk.telling.accuracy_figures import Point, draw_series, method_handles
from advntk.telling.columns import PREDICTOR, shared, shown
from advntk.telling.contents import Measured, Suite
from advntk.telling.frames import ROBUST, cell_of, ends, in_order, orders_of, span_of
from advntk.telling.kinds import Kind
from advntk.telling.kinds.splits import SplitFacts
from advntk.telling.labels import NORMS, method_colours
from advntk.telling.layout import Picture, grid
from advntk.telling.listing import Column, Listing, Table, accuracy, groups, lines_of, listing_of, percent, table
from advntk.telling.publishing import pieces

_ROW = ["dataset", "network", "method", "checkpoint", "trained_at", "eps255"]
CERTIFIED = ("certified_mean", "certified_lo", "certified_hi")
COLUMNS = (
    *shared("dataset", "architecture", "depth"),
    PREDICTOR,
    *shared("method", "checkpoint"),
    Column("trained_at", "radius that the method was trained for, in 1/255; empty where it ignores the radius"),
    shown("eps255", head="ε (1/255)", text="{:g}".format),
    *shared("n_test", "seeds", "clean_mean"),
    Column(of=CERTIFIED, head="certified", text=accuracy),
    Column("certified_mean", "share of test images that provably no attack within eps255 breaks, mean over seeds"),
    Column("certified_lo", "lower end of the 95% interval of certified_mean over seeds and images"),
    Column("certified_hi", "upper end of the 95% interval of certified_mean over seeds and images"),
    Column(
        "undecided_mean", "share of test images that are neither certified nor broken, mean over seeds",
        head="undecided", text=percent,
    ),
    *(Column(f"{one}_mean", f"share of test images that bound {one} decided, mean over seeds") for one in "bcd"),
    Column(
        "image_s", "time of the bounds for one image; 0 where a larger radius decided",
        head="s/image", text="{:.2g}".format,
    ),
    *shared("attack", *ROBUST),
)  # fmt: skip


def matched(suite: Suite) -> Iterator[tuple[Certificates, str, CertifiedRadius, dict[str, Measured]]]:
    """What is proven of each fit, checkpoint and radius, and its evaluations under attacks in the threat model."""
    known: dict[tuple[Any, ...], dict[str, Measured]] = {}
    for item in (item for item in suite.measured if item.record.attack.inside_threat_model):
        known.setdefault((pieces.of_fit(item.record), item.record.threat), {})[item.record.attack.name] = item
    for one in suite.of(Certificates):
        for checkpoint, points in one.checkpoints.items():
            for point in points:
                threat = ThreatModel(norm=one.norm, eps255=point.eps255)
                yield one, checkpoint, point, known.get((pieces.of_fit(one), threat), {})


def check(suite: Suite) -> None:
    """Refuse certificates of images that an attack in the threat model breaks: an ``InputError`` names the images."""
    for one, checkpoint, point, attacks in matched(suite):
        for name, item in attacks.items():
            wrong = (np.array(list(point.status)) == "c") & ~item.robust[checkpoint][: one.n_test]
            if wrong.any():
                images = ", ".join(map(str, item.images[: one.n_test][wrong]))
                raise InputError(
                    f"'{name}' breaks test images {images}, which are certified at {point.eps255:g}/255: one is wrong",
                    where=item.path,
                    remedy="report it with both files; to read the other results, leave certificates out",
                )


def certified(suite: Suite) -> pd.DataFrame:
    """Return one row for each dataset, network, method, checkpoint, radius of training, radius and attack.

    All shares are of the same test images. Where a row has no attack, nothing evaluated these predictors at the radius.
    """
    tested = {(split.dataset, split.seed): np.array(split.test) for split in suite.of(SplitFacts)}
    lines = [
        {
            **cell_of(one),
            "checkpoint": checkpoint,
            "trained_at": one.trained_at.eps255 if one.trained_at else math.inf,
            "eps255": point.eps255,
            "of": (one, checkpoint, point, attacks),
        }
        for one, checkpoint, point, attacks in matched(suite)
    ]
    frame = pd.DataFrame(lines, columns=[*_ROW, "of"])
    orders = orders_of(suite) | {"eps255": sorted(set(frame["eps255"]))}
    frame = in_order(frame, {name: orders[name] for name in ("dataset", "network", "method", "eps255")})
    rows = [
        row
        for _, group in frame.sort_values(_ROW, kind="stable").groupby(_ROW, observed=True)
        for row in _rows(list(group["of"]), tested)
    ]
    return table(COLUMNS, rows, "network")


def _rows(
    found: list[tuple[Certificates, str, CertifiedRadius, dict[str, Measured]]],
    tested: Mapping[tuple[str, int], np.ndarray],
) -> Iterator[dict[str, Any]]:
    """One row an attack from the certificates of all seeds, and one without an attack where there is none."""
    one, checkpoint, point, attacks = found[0]
    images = [tested[one.dataset, one.seed][: one.n_test] for one, *_ in found]
    points, total = [point for _, _, point, _ in found], one.n_test * len(found)
    proven = [np.array(list(point.status)) == "c" for point in points]
    shared = {
        **cell_of(one),
        "checkpoint": checkpoint,
        "trained_at": one.trained_at.eps255 if one.trained_at else math.nan,
        "eps255": point.eps255,
        "n_test": one.n_test,
        "seeds": len(found),
        "clean_mean": 1 - sum(point.decided.get("clean", 0) for point in points) / total,
        **dict(zip(CERTIFIED, accuracy_interval(proven, images), strict=True)),
        "undecided_mean": sum(point.undecided for point in points) / total,
        **{f"{bound}_mean": sum(point.decided.get(bound, 0) for point in points) / total for bound in "bcd"},
        "image_s": sum(point.seconds for point in points) / total,
    }
    both = [name for name in attacks if all(name in others for *_, others in found)]
    for name in both or [""]:
        robust = [others[name].robust[checkpoint][: one.n_test] for *_, others in found] if name else []
        interval = accuracy_interval(robust, images) if name else (math.nan,) * 3
        yield {**shared, "attack": name, **dict(zip(ROBUST, interval, strict=True))}


def listings(suite: Suite) -> Iterator[Listing]:
    """A printed table for each dataset and network, a column for each attack."""
    found = certified(suite)
    for (dataset, network), mine in groups(found, ["dataset", "network"]):
        lines: dict[tuple[str, ...], dict[str, Any]] = {}
        for row in lines_of(mine):
            line = lines.setdefault(tuple(str(row[name]) for name in _ROW), dict(row))
            line[f"under {row['attack']}"] = accuracy(ends(row, ROBUST))
        yield listing_of(
            [*COLUMNS, *(Column(of=f"under {name}", head=name) for name in dict.fromkeys(mine["attack"]) if name)],
            pd.DataFrame(lines.values()),
            title=f"{dataset}, {network} ({NORMS[suite.config.norm]})",
            caption="Percent of the same test images, mean ± half the width of its 95% interval over seeds and images: "
            "certified (no attack breaks them), undecided (neither certified nor broken), and right under each attack. "
            f"n_test = {span_of(mine['n_test'])}, seeds = {span_of(mine['seeds'])}; s/image: of the bounds, 0 where a "
            "larger radius decided.",
        )


def figure(suite: Suite) -> Figure:
    """Certified share over ε, and the band up to what the strongest attack leaves, a line for each method."""
    found, methods = certified(suite), suite.config.methods
    own = found.assign(other=found["trained_at"].notna() & (found["trained_at"] != found["eps255"]))
    first = [*_ROW[:4], "eps255"]
    shown = own.sort_values("other", kind="stable").drop_duplicates([*first, "attack"])

    def draw(axes: Axes, mine: pd.DataFrame) -> None:
        one = mine.drop_duplicates(["method", "checkpoint", "eps255"])
        points = [Point(row["method"], row["checkpoint"], row["eps255"], ends(row, CERTIFIED)) for row in lines_of(one)]
        draw_series(axes, methods, points, intervals="none", markersize=3.5)
        for (method, _), line in groups(mine, ["method", "checkpoint"]):
            most = np.fmin(line[ROBUST[0]], line[CERTIFIED[0]] + line["undecided_mean"])
            band = line.assign(most=most).groupby("eps255", observed=True).agg({CERTIFIED[0]: "first", "most": "min"})
            look: dict[str, Any] = {"color": method_colours(methods)[method], "alpha": 0.25, "linewidth": 0}
            axes.fill_between(list(band.index), 100 * band[CERTIFIED[0]], 100 * band["most"], **look)
        if places := sorted(set(mine["eps255"])):
            axes.set_xscale("log", base=2)
            axes.set_xticks(places, [f"{place:g}" for place in places])
            axes.minorticks_off()

    bands = {
        dataset: {network: mine[mine["network"] == network] for network in dict.fromkeys(mine["network"])}
        for (dataset,), mine in groups(shown, ["dataset"])
    }
    return grid(
        bands,
        draw,
        title="Robust accuracy, known: certified, and left by the strongest attack",
        notes=[
            *[f"Means over seeds; seeds = {span_of(found['seeds'])}, n_test = {span_of(found['n_test'])}."]
            * bool(len(found)),
            *suite.notes,
        ],
        y_label="robust accuracy (%)",
        x_label=f"ε (1/255, {NORMS[suite.config.norm]})",
        handles=[
            *method_handles(methods, zip(found["method"], found["checkpoint"], strict=True)),
            Line2D([], [], color="#777777", alpha=0.25, linewidth=6, label="up to the strongest attack"),
        ],
    )


def _apart(first: Certificates, second: Certificates) -> float:
    """Largest difference of certified shares."""
    shares = [
        {(name, point.eps255): point.certified for name, points in one.checkpoints.items() for point in points}
        for one in (first, second)
    ]
    same = shares[0].keys() == shares[1].keys() and first.n_test == second.n_test
    return 100 * max(abs(shares[0][key] - shares[1][key]) for key in shares[0]) / first.n_test if same else math.inf


ENTRY = Kind(
    what="certificates",
    model=Certificates,
    read=read_certificates,
    part=lambda one: str(one.dataset),
    place=lambda order, one: order.fit(one),
    piece=pieces.of_fit,
    made=lambda one, _: {"of": {"fit": [pieces.of_fit(one)]}},
    check=check,
    apart=_apart,
    rule="certify",
    tables={"certified": Table("Certified robust accuracy", COLUMNS, certified, listings)},
    figures={
        "certified": Picture(
            title="certified robust accuracy", wanted=lambda suite: bool(suite.of(Certificates)), draw=figure
        )
    },
)
