"""The page of results: written, with its figures, from reference results alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from advntk.foundation import files
from advntk.telling import labels
from advntk.telling.cost import by_rule, costs
from advntk.telling.differences import differences
from advntk.telling.figures import FIGURES
from advntk.telling.frames import attack_settings
from advntk.telling.grid import span_of, told_once
from advntk.telling.headlines import headlines
from advntk.telling.kept import kept_results
from advntk.telling.listing import aligned
from advntk.telling.made import made
from advntk.telling.methods_table import method_grids
from advntk.telling.pictures import PICTURES
from advntk.telling.reference import read_reference
from advntk.telling.sheet import save_png, style
from advntk.telling.suite_file import Suite, read_suite
from advntk.telling.tables import TABLES

_HEAD = """\
# Results

## Are infinitely wide networks more robust than adversarially trained finite ones?

{headlines}"""
_ABOUT = """\
## About this page

What finished suites measured. The page and its figures are written by

```sh
{command}
```

from [{reference}]({link}/README.md), which holds the outcome of every test image of a published
suite: no number here is typed in, and an edit is lost when the page is written again.

Robust accuracy counts test images that are classified correctly without the attack and under it; it stands beside its
attack's name. An attack proves only that a network is at most as robust as shown. ± is half the width of a 95%
interval, which is not symmetric near 0 and 100%: the tables of each suite have its ends.
"""
_NONE = "No suite is published yet.\n"
_KEPT = """\
## Earlier results

Tables of suites that ran before outcomes were published. Their records are gone, and with them the digest of the code,
the date and the machine; only their intervals and p were computed anew, from the counts in them.
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
                save_png(FIGURES[figure](suite), figures[-1])
        sections += _suite(suite, drawn, f"{link}/{name}", listed.outdated.get(name, ""))
    if not listed.published:
        sections.append(_NONE)
    if listed.kept:
        sections += [
            _KEPT,
            *(kept_results(one, reference, link, listed.outdated.get(one.suite, "")) for one in listed.kept),
        ]
    files.write_text(out, "\n".join(sections))
    return [out, *figures]


def _suite(suite: Suite, drawn: Mapping[str, str], link: str, outdated: str) -> Iterator[str]:
    """The sections of one suite; ``outdated`` says why it has to be run again, if it has."""
    name = suite.config.suite
    yield f"## {name}\n"
    if outdated:
        yield f"**To be run again:** {outdated}\n"
    yield "\n".join(aligned(["what", ""], [list(fact) for fact in _facts(suite).items()], words=2)) + "\n"
    yield f"### {name}: methods\n"
    yield from (grid.as_markdown(4) for grid in told_once(method_grids(suite)))
    for dataset, listing in differences(suite).items():
        yield f"### {name}: {listing.title}, {dataset}\n\n{listing.body()}"
    for figure, file in drawn.items():
        picture = PICTURES[figure]
        yield f"### {name}: {picture.title}\n\n![{picture.title}, suite {name}](figures/{file})\n"
        yield f"{picture.caption(suite)}\n"
    found = costs(suite)
    if found:
        listing = by_rule(found)
        yield f"### {name}: wall time by rule\n\n{listing.body()}"
    tables = [f"[{table}]({link}/{table}.csv)" for table, entry in TABLES.items() if not entry.frame(suite).empty]
    yield f"All numbers: {', '.join(tables)}; outcomes of all test images: [{name}]({link}).\n"


def _facts(suite: Suite) -> dict[str, str]:
    """What was run, on what, and what made it."""
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
        "made by": f"`{suite.command}`",
        "finished": facts["finished"],
        "code": f"digest {facts['code']}",
        **({"note": " ".join(suite.notes)} if suite.notes else {}),
        "machine": facts["machine"],
        "versions": f"Python {facts['python']}; {facts['versions']}",
        "seeds": str(config.seeds),
        "images": "; ".join(sizes),
        "networks": ", ".join(networks),
        "methods": labels.listed(config.methods),
        "threat model": f"{labels.NORMS[config.norm]}, {', '.join(map(labels.radius_label, config.eps255))}",
        **{f"attack `{name}`": text for name, text in attack_settings(suite).items()},
    }
