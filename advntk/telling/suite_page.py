"""The page of one suite: what was found, all its numbers, figures, warnings, and how to get the same again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from advntk.foundation.findings import Finding
from advntk.telling import webpage
from advntk.telling.accuracy_tables import BEST, TIED, standing
from advntk.telling.comparisons import DIFFERENCE, SIGNIFICANCE, against_baseline, comparisons
from advntk.telling.contents import Suite
from advntk.telling.cost import by_rule, jobs
from advntk.telling.frames import CLEAN, ROBUST, ends, in_order, orders_of
from advntk.telling.kinds.findings import INTERVAL, claims_of, draw, stories
from advntk.telling.labels import CAPTIONS, NORMS, OUTSIDE, method_label, radius_label
from advntk.telling.layout import span, style, svg
from advntk.telling.listing import accuracy, groups, lines_of, points
from advntk.telling.pages import facts_of_run
from advntk.telling.report import PICTURES
from advntk.telling.story import Verdict
from advntk.telling.suite_file import read_suite
from advntk.telling.training import LOST, overfitting
from advntk.telling.webpage import Section

_MOST = 6
"""Sentences of one kind at the head of the page."""
_WARNED = 30
"""Warnings that are listed; the table has all."""
_READ = (
    "A click on a title sorts. The menu beside it filters: by a list of values, or by a comparison. Accuracies are in "
    "percent, means over seeds; low and high are the ends of the 95% interval of robust accuracy over seeds and test "
    "images. Robust counts images that are classified correctly both clean and under the attack of the row. An attack "
    "proves only that a predictor is at most as robust as shown."
)
_COMPARED = (
    "Each pair of methods on the same images of the same seeds: robust accuracy of A and of B in percent, A − B in "
    "percentage points with its 95% interval, and p adjusted by Holm over all comparisons of the suite."
)


def write_suite_page(path: Path, out: Path, *, figures: Sequence[Path] = (), allow_mixed: bool = False) -> None:
    """Write the page of a suite.

    Args:
        path: ``suite.json`` of a suite that ran here, or of a published one.
        out: html to write; it needs no other file and no network.
        figures: those that are drawn already, svg files by their names.
        allow_mixed: show results of different code or data too; the page then says so.
    """
    suite = read_suite(path, allow_mixed=allow_mixed)
    found = _results(suite)
    webpage.write_page(
        out,
        title=f"Suite {suite.config.suite}",
        lead=list(_lead(suite, found)),
        sections=_sections(suite, found, {path.stem: path for path in figures}),
    )


def _results(suite: Suite) -> pd.DataFrame:
    """The table of results with its standings, in the order of the configuration's lists."""
    return in_order(standing(suite), orders_of(suite))


def _sections(suite: Suite, found: pd.DataFrame, drawn: Mapping[str, Path]) -> Iterator[Section]:
    if len(found):
        table = webpage.sortable(_numbers(found), name="results")
        yield Section(title="All results", parts=[webpage.paragraphs(_READ), table])
    if len(compared := comparisons(suite)):
        table = webpage.sortable(_pairs(suite, compared), name="comparisons")
        yield Section(title="Comparisons", parts=[webpage.paragraphs(_COMPARED), table])
    if suite.of(Finding):
        yield Section(title="Claims", parts=[webpage.sortable(_claims(suite), name="claims")])
    yield Section(title="Figures", parts=list(_pictures(suite, drawn)))
    yield Section(title="Warnings", parts=[_warnings(suite, found)])
    yield Section(title="Reproduce", parts=list(_reproduce(suite)))
    cost = [webpage.printed(by_rule(suite))] if len(jobs(suite)) else []
    yield Section(title="Provenance", parts=[webpage.facts(facts_of_run(suite)), *cost])


def _lead(suite: Suite, found: pd.DataFrame) -> Iterator[str]:
    """What was found, in sentences."""
    yield from _bests(suite, found)
    yield from _against_baseline(suite)
    yield from _losses(suite)
    if suite.of(Finding):
        counts = Counter(claims_of(suite)["verdict"])
        words = ", ".join(f"“{verdict}” {counts[verdict]}" for verdict in get_args(Verdict))
        yield f"{counts.total()} claims of the theory, measured, by verdict: {words}."


def _bests(suite: Suite, found: pd.DataFrame) -> Iterator[str]:
    """The most robust method of each dataset, network and radius, under the attack that leaves the least accuracy."""
    inside = found[~found["attack_label"].str.contains(OUTSIDE)]
    places = list(groups(inside, ["dataset", "network", "eps255"]))
    for (dataset, network, eps255), mine in places[:_MOST]:
        attack = mine.groupby("attack", observed=True)["robust_mean"].mean().idxmin()
        mine = mine[mine["attack"] == attack]
        chosen = mine[mine["standing"] == BEST]
        first = lines_of(chosen if len(chosen) else mine.nlargest(1, "robust_mean"))[0]
        tied = [method_label(row["method"], row["checkpoint"]) for row in lines_of(mine[mine["standing"] == TIED])]
        others = f" Not significantly different: {', '.join(tied)}." if tied else ""
        which = "the most robust method is" if mine["method"].nunique() > 1 else "the only method is"
        yield (
            f"{dataset}, {network}, {radius_label(eps255)} ({NORMS[suite.config.norm]}), attack `{attack}`: {which} "
            f"**{method_label(first['method'], first['checkpoint'])}** with **{accuracy(ends(first, ROBUST))}%** "
            f"robust accuracy (clean {accuracy(ends(first, CLEAN))}%).{others}"
        )
    if len(places) > _MOST:
        yield f"The table of all results has {len(places) - _MOST} more settings of dataset, network and radius."


def _against_baseline(suite: Suite) -> Iterator[str]:
    """The kernel methods against AT, on each dataset, network and radius."""
    for mine in against_baseline(suite)[:_MOST]:
        first = mine[0]
        each = [
            f"{method_label(one['method_a'])} {points(ends(one, DIFFERENCE))}"
            + (" (significant)" if one["p_holm"] <= SIGNIFICANCE else " (not significant)")
            for one in mine
        ]
        yield (
            f"Robust accuracy minus that of {method_label(first['method_b'], first['checkpoint_b'])}, in percentage "
            f"points ({first['dataset']}, {first['network']}, {radius_label(first['eps255'])}, attack "
            f"`{first['attack']}`): {'; '.join(each)}."
        )


def _losses(suite: Suite) -> Iterator[str]:
    """What training to the last update loses, where it loses anything, under the attack that leaves the least."""
    found = overfitting(suite)
    lost = found[found["lost_lo"] > 0].sort_values("robust_last", kind="stable")
    lost = lost.drop_duplicates(["dataset", "network", "eps255", "method"])
    for row in lines_of(lost)[:_MOST]:
        yield (
            f"Robust overfitting: {method_label(row['method'])} trained to the last update loses "
            f"**{points(ends(row, LOST)).lstrip('+')}** points of robust accuracy against its checkpoint best on val "
            f"({row['dataset']}, {row['network']}, {radius_label(row['eps255'])}, attack `{row['attack']}`)."
        )


def _numbers(found: pd.DataFrame) -> pd.DataFrame:
    """All rows of the table of results as the page shows them."""
    methods = {name: method_label(name) for name in found["method"].cat.categories}
    return pd.DataFrame(
        {
            "dataset": found["dataset"],
            "network": found["network"],
            "method": found["method"].cat.rename_categories(methods),
            "checkpoint": found["checkpoint"].replace("best_val", "best on val"),
            "ε (1/255)": _radii(found),
            "attack": found["attack"],
            **{
                title: (100 * found[name].astype(float)).round(1)
                for title, name in zip(("clean", "robust", "low", "high"), ("clean_mean", *ROBUST), strict=True)
            },
            "standing": found["standing"],
            "flags": ["; ".join(_flags(row)) for row in lines_of(found)],
            "seeds": found["seeds"],
            "n_test": found["n_test"],
        }
    )


def _radii(found: pd.DataFrame) -> pd.Series:
    """Radii as numbers, without decimals where they have none."""
    return pd.Series(found["eps255"].astype(float), index=found.index).convert_dtypes()


def _flags(row: dict[str, Any]) -> list[str]:
    outside = [OUTSIDE] if OUTSIDE in row["attack_label"] else []
    return [*outside, *row["flags"]]


def _pairs(suite: Suite, compared: pd.DataFrame) -> pd.DataFrame:
    ordered = in_order(compared, {name: order for name, order in orders_of(suite).items() if name != "method"})
    names = {side: [f"method_{side}", f"checkpoint_{side}"] for side in "ab"}
    return pd.DataFrame(
        {
            **{name: ordered[name] for name in ("dataset", "network")},
            "ε (1/255)": _radii(ordered),
            "attack": ordered["attack"],
            **{
                side.upper(): [method_label(*row) for row in ordered[names[side]].itertuples(index=False)]
                for side in "ab"
            },
            **{
                title: (100 * ordered[name].astype(float)).round(1)
                for title, name in (
                    ("A %", "robust_a"), ("B %", "robust_b"), ("A − B", "difference"), ("low", "difference_lo"),
                    ("high", "difference_hi"),
                )
            },
            "p Holm": ordered["p_holm"].astype(float).round(4),
            "verdict": ordered["verdict"],
        }
    )  # fmt: skip


def _claims(suite: Suite) -> pd.DataFrame:
    found = claims_of(suite)
    return pd.DataFrame(
        {
            **{name: found[name] for name in ("experiment", "claim", "quantity")},
            "value": [span(ends(row, INTERVAL), 3) for row in lines_of(found)],
            **{name: found[name] for name in ("expected", "verdict", "condition")},
        }
    )


def _pictures(suite: Suite, drawn: Mapping[str, Path]) -> Iterator[Markup]:
    """The figures of the workflow that have something to show, and those of the experiments."""

    def shown(name: str, draw: Callable[[Suite], Figure]) -> str:
        if name in drawn:
            return drawn[name].read_text(encoding="utf-8")
        with style():
            return svg(draw(suite))

    for name, one in PICTURES.items():
        if one.wanted(suite):
            yield webpage.picture(shown(name, one.draw), title=one.title, caption=CAPTIONS.get(name, ""))
    for name, (story, told) in stories(suite).items():
        title, caption = f"{story.number}: {story.title}", f"{story.caption(told)} {story.setup(told)}."
        yield webpage.picture(shown(name, partial(draw, name)), title=title, caption=f"**{title}** {caption}")


def _warnings(suite: Suite, found: pd.DataFrame) -> Markup:
    """What must be known of the suite, and the warnings that each evaluation raised, equal ones together."""
    where: dict[str, list[str]] = {}
    for row in lines_of(found):
        place = f"{method_label(row['method'], row['checkpoint'])} on {row['dataset']}, {row['network']}"
        for flag in row["flags"]:
            where.setdefault(flag, []).append(f"{place}, {radius_label(row['eps255'])}, `{row['attack']}`")
    raised = [
        f"{flag}: {places[0]}" + (f" and {len(places) - 1} more rows" if len(places) > 1 else "")
        for flag, places in where.items()
    ]
    more = [f"{len(raised) - _WARNED} more: see the column of flags."] if len(raised) > _WARNED else []
    if not (suite.notes or raised):
        return webpage.paragraphs("No evaluation raised a warning.")
    return webpage.warnings([*suite.notes, *raised[:_WARNED], *more])


def _reproduce(suite: Suite) -> Iterator[Markup]:
    """The command that ran the suite where it is known, and the whole configuration."""
    name = suite.config.suite
    if suite.command:
        yield webpage.paragraphs("The suite was computed by")
        yield webpage.command(suite.command)
    config = suite.config.model_dump(mode="json", exclude={"compute", "allow_mixed"})
    yield webpage.paragraphs(
        f"With the configuration below saved as `{name}.json`, this command computes the same on another machine "
        "(README: how to install); digits may differ in rounding, and times do."
    )
    yield webpage.command(f"snakemake --cores all --configfile {name}.json")
    yield webpage.details(f"Configuration of {name}", json.dumps(config, indent=1, ensure_ascii=False))
