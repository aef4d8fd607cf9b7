"""Pages: of results and of the theory, written with their figures from reference results alone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

import pandas as pd

from advntk.foundation import files
from advntk.foundation.errors import InputError
from advntk.foundation.findings import Finding
from advntk.telling import labels
from advntk.telling.accuracy_tables import accuracies, method_listings
from advntk.telling.comparisons import differences, headlines
from advntk.telling.contents import Suite
from advntk.telling.cost import by_rule, jobs
from advntk.telling.frames import attack_settings, method_settings, span_of
from advntk.telling.kinds import traced
from advntk.telling.kinds.findings import claims_listings, claims_of, draw, stories
from advntk.telling.labels import CAPTIONS
from advntk.telling.layout import save_png, style
from advntk.telling.listing import EMPTY, Listing, accuracy, captioned_once, markdown_table
from advntk.telling.publishing.publish import Kept, read_reference
from advntk.telling.report import PICTURES, TABLES
from advntk.telling.story import Verdict
from advntk.telling.suite_file import read_suite

_HEAD = """\
# Results

## Are infinitely wide networks more robust than adversarially trained finite ones?

{headlines}"""
_ABOUT = """\
## About this page

This page shows the results of finished suites. It is generated, with its figures, by

```sh
{command}
```

from [{reference}]({link}/README.md), which contains the outcome for every test image of a published
suite. No number here is typed in, and edits are overwritten when the page is generated again.

Images are split into opt (training images), val (validation images, on which hyperparameters, stopping times and
checkpoints are chosen) and test. *best on val* is the checkpoint with the highest robust accuracy on val.

Robust accuracy is the share of test images that are classified correctly both without the attack and under it. It is an
upper bound, because a stronger attack may break more images, and is always given with the name of its attack. ± is half
the width of a 95% interval, which is not symmetric near 0 and 100%; the tables of each suite give both ends.
"""
_NONE = "No suite is published yet.\n"
_KEPT = """\
## Earlier results

Tables of suites that ran before outcomes for each test image were published. Their records were not kept, so the digest
of the code, the date and the machine are unknown. Intervals and p-values were recomputed from the counts in the tables.
"""


def write_page(reference: Path, out: Path, *, allow_mixed: bool = False) -> list[Path]:
    """Write the page, and its figures as ``figures/results_<suite>_<figure>.png`` beside it.

    Args:
        reference: folder of reference results, with its ``index.json``.
        out: the page.
        allow_mixed: show suites of different code or data too; each then says so.

    Returns:
        The files written.
    """
    listed, link = read_reference(reference), os.path.relpath(reference, out.parent)
    command = f"advntk page --reference {reference} --out {out}"
    suites = [read_suite(reference / name / "suite.json", allow_mixed=allow_mixed) for name in listed.published]
    sections, figures = [_HEAD.format(headlines=headlines(suites))], []
    sections.append(_ABOUT.format(command=command, reference=reference, link=link))
    for name, suite in zip(listed.published, suites, strict=True):
        drawn = {
            figure: f"results_{name}_{figure}.png" for figure, picture in PICTURES.items() if picture.wanted(suite)
        }
        for figure, file in drawn.items():
            figures.append(out.parent / "figures" / file)
            with style():
                save_png(PICTURES[figure].draw(suite), figures[-1])
        sections += _suite(suite, drawn, f"{link}/{name}", listed.outdated.get(name, ""))
    if not listed.published:
        sections.append(_NONE)
    if listed.kept:
        sections.append(_KEPT)
    for one in listed.kept:
        sections += _kept(one, reference, link, listed.outdated.get(one.suite, ""))
    files.write_text(out, "\n".join(sections))
    return [out, *figures]


def _suite(suite: Suite, drawn: Mapping[str, str], link: str, outdated: str) -> Iterator[str]:
    """The sections of one suite; ``outdated`` says why it has to be run again, if it has."""
    name = suite.config.suite
    yield f"## {name}\n"
    if outdated:
        yield f"**To be run again:** {outdated}\n"
    yield markdown_table(["what", ""], list(facts_of_run(suite).items()), words=2)
    yield f"### {name}: methods\n"
    yield from (listing.as_markdown(4) for listing in captioned_once(method_listings(suite)))
    for dataset, listing in differences(suite).items():
        yield f"### {name}: {listing.title}, {dataset}\n\n{listing.body()}"
    for figure, file in drawn.items():
        picture = PICTURES[figure]
        yield f"### {name}: {picture.title}\n\n![{picture.title}, suite {name}](figures/{file})\n"
        yield f"{CAPTIONS.get(figure, '')}\n"
    if len(jobs(suite)):
        yield f"### {name}: wall time by rule\n\n{by_rule(suite).body()}"
    tables = [f"[{table}]({link}/{table}.csv)" for table, entry in TABLES.items() if not entry.frame(suite).empty]
    yield f"All numbers: {', '.join(tables)}; outcomes of all test images: [{name}]({link}).\n"


def facts_of_run(suite: Suite) -> dict[str, str]:
    """What was run, on which machine, with which versions."""
    config, records = suite.config, [item.record for item in suite.measured]
    sizes = []
    for dataset in config.datasets:
        mine = [record for record in records if record.dataset == dataset]
        tests = [one.n_test for record in mine for one in record.evaluations.values()]
        counts = {"opt": [r.n_opt for r in mine], "val": [r.n_val for r in mine], "test": tests}
        sizes.append(f"{dataset}: {', '.join(f'n_{part} = {span_of(values)}' for part, values in counts.items())}")
    widths = {record.architecture.label: record.architecture.width for record in records if record.kind == "network"}
    networks = [
        spec.label + (f" (finite: width {widths[spec.label]})" if spec.label in widths else "")
        for spec in config.specs()
    ]
    facts = made(suite)
    return {
        **({"command": f"`{suite.command}`"} if suite.command else {}),
        "finished": facts["finished"],
        "code": f"digest {facts['code']}",
        **({"note": " ".join(suite.notes)} if suite.notes else {}),
        "machine": facts["machine"],
        "versions": f"Python {facts['python']}; {facts['versions']}",
        "seeds": str(config.seeds),
        "images": "; ".join(sizes),
        "networks": ", ".join(networks),
        "methods": ", ".join(map(labels.method_label, config.methods)),
        **{f"method `{name}`": text for name, text in method_settings(config).items()},
        "threat model": f"{labels.NORMS[config.norm]}, {', '.join(map(labels.radius_label, config.eps255))}",
        **{f"attack `{name}`": text for name, text in attack_settings(suite).items()},
    }


def _kept(one: Kept, reference: Path, link: str, outdated: str) -> Iterator[str]:
    """The sections of a suite of which only tables are left; ``outdated`` as in :func:`_suite`."""
    yield f"### {one.suite}\n"
    if outdated:
        yield f"**To be run again:** {outdated}\n"
    tables = ", ".join(f"[{table}]({link}/{one.suite}/{table}.csv)" for table in one.tables)
    yield f"Command: `{one.command}`. Tables: {tables}.\n"
    if "robust_accuracy" in one.tables:
        path = reference / one.suite / "robust_accuracy.csv"
        try:
            yield from _kept_accuracies(pd.read_csv(path))
        except (OSError, ValueError, KeyError, AttributeError) as error:
            remedy = "restore it from version control"
            raise InputError(f"not a table of results ({error})", where=path, remedy=remedy) from error


def _kept_accuracies(frame: pd.DataFrame) -> Iterator[str]:
    """Networks and methods down, attacks across, of each dataset and radius.

    Tables do not say the norm, and in ℓ2 and ℓ1 the largest entry of a perturbation does not show that it is too large.
    """
    left = frame["attack"].eq("reference_fixed_gradient") | (frame["max_linf255"] > 1.01 * frame["eps255"])
    outside = set(frame.loc[left, "attack"])
    for (dataset, _), mine in frame.groupby(["dataset", "eps255"], sort=False):
        cells = [
            (
                f"{row.architecture}, depth {row.depth}",
                labels.method_label(row.method, row.checkpoint),
                accuracy((row.clean_mean, row.clean_lo, row.clean_hi)),
                labels.attack_label(row.attack, inside_threat_model=row.attack not in outside),
                accuracy((row.robust_mean, row.robust_lo, row.robust_hi)),
            )
            for row in cast(Iterator[Any], mine.itertuples())
        ]
        sizes = "; ".join(
            f"{name} = {', '.join(map(str, mine[name].unique()))}" for name in ("n_test", "n_opt", "seeds")
        )
        radius = labels.radius_label(mine["eps255"].iloc[0])
        yield f"{dataset}, {radius}: percent, ± half the width of the 95% interval; {sizes}.\n"
        yield markdown_table(*accuracies(cells), words=2)


_THEORY = """\
# The theory, measured

The paper proves how wide networks behave in adversarial training; here its claims are measured, and what else one would
want to know. Where a claim holds under a condition only, it is given. The page and its figures are written by

```sh
{command}
```

from [{suite}]({link}), which `{made_by}` measured and `advntk publish` kept: no number here is typed in, and an edit is
lost when the page is written again. Formulas and symbols: [method](method.md).

Intervals are of 95%, over seeds or over seeds and test images; each claim stands for itself, so that of many intervals
some miss. Where a dataset has test images of its own (Fashion-MNIST), all seeds share them, and an interval over seeds
says nothing about other test images.
"""


def write_theory_page(path: Path, out: Path, *, allow_mixed: bool = False) -> list[Path]:
    """Write the page, and its figures as ``figures/theory_<experiment>.png`` beside it.

    Args:
        path: ``suite.json`` of a published suite, or of one that ran here.
        out: the page.
        allow_mixed: show results of different code or data too; the page then says so.

    Returns:
        The files written.

    Raises:
        InputError: the suite ran no experiment.
    """
    suite = read_suite(path, allow_mixed=allow_mixed)
    if not suite.of(Finding):
        raise InputError("holds no findings of experiments", where=path, remedy="give the suite.json of suite theory")
    command = f"advntk theory-page --suite {path} --out {out}"
    link = os.path.relpath(path.parent, out.parent)
    head = _THEORY.format(command=command, suite=path.parent, link=link, made_by=suite.command or "the workflow")
    facts, written = made(suite), [out]
    digests = facts["code"].replace("; ", ", ")
    sections = [
        head,
        f"Machine: {facts['machine']}; code digest {digests}; {facts['finished']}.\n",
        *(f"**{note}**\n" for note in suite.notes),
        _overview(suite).body(),
    ]
    for (name, (story, told)), listing in zip(stories(suite).items(), claims_listings(suite), strict=True):
        figure = out.parent / "figures" / f"{name}.png"
        with style():
            save_png(draw(name, suite), figure)
        written.append(figure)
        sections += [
            f"## {story.number}: {story.title}\n",
            f"{story.question}\n",
            f"![{story.title}](figures/{figure.name})\n",
            f"{story.caption(told)} {story.setup(told)}.\n",
            replace(listing, caption="The claims, with 95% intervals:").body(),
        ]
    files.write_text(out, "\n".join(sections))
    return written


def _overview(suite: Suite) -> Listing:
    """Verdicts of each experiment, counted."""
    lines, claims = [], claims_of(suite)
    for name, (story, _) in stories(suite).items():
        verdicts = list(claims.loc[claims["figure"] == name, "verdict"])
        anchor = re.sub(r"[^\w -]", "", f"{story.number}: {story.title}".lower()).replace(" ", "-")
        counts = [str(verdicts.count(verdict)) for verdict in get_args(Verdict)]
        lines.append([f"[{story.number}](#{anchor})", story.question, *counts])
    return Listing(
        title="Overview",
        caption="Claims by verdict; *open*: the interval does not decide the claim.",
        head=["", "question", *get_args(Verdict)],
        lines=lines,
        words=2,
    )


_VERSIONED = ("jax", "neural-tangents", "numba", "numpy", "scipy", "torch")


def made(suite: Suite) -> dict[str, str]:
    """Facts by name; where jobs disagree, all values are listed; a missing fact is a dash."""
    known = [one.provenance for placed in traced(suite).values() for _, one in placed]
    finished = sorted(str(one["finished"])[:16].replace("T", " ") for one in known if "finished" in one)
    threads = sorted({int(one["threads"]) for one in known if "threads" in one})
    count = "–".join(map(str, dict.fromkeys((threads[0], threads[-1])))) if threads else EMPTY
    versions = [one["versions"] for one in known if "versions" in one]
    return {
        "finished": " to ".join(dict.fromkeys((finished[0], finished[-1]))) + " UTC" if finished else EMPTY,
        "code": _told(str(one["code"]) for one in known if "code" in one),
        "machine": f"{_told(str(one['processor']) for one in known if 'processor' in one)}; threads of a job: {count}",
        "python": _told(str(one["python"]) for one in known if "python" in one),
        "versions": _told(", ".join(f"{name} {one[name]}" for name in _VERSIONED if name in one) for one in versions),
    }


def _told(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values)) or EMPTY
