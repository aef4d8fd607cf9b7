"""The page of the theory: what each experiment found, with its figure and its claims, from published findings alone."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

from advntk.foundation import files
from advntk.foundation.errors import InputError
from advntk.foundation.findings import Finding
from advntk.telling.kinds.findings import claims_listings, claims_of, draw, stories
from advntk.telling.layout import save_png, style
from advntk.telling.listing import Listing
from advntk.telling.made import made
from advntk.telling.story import Verdict
from advntk.telling.suite_file import Suite, read_suite

_HEAD = """\
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
    head = _HEAD.format(command=command, suite=path.parent, link=link, made_by=suite.command or "the workflow")
    sections, written = [head, _made(suite_facts=made(suite)), *(f"**{note}**\n" for note in suite.notes)], [out]
    sections.append(_overview(suite).body())
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


def _made(*, suite_facts: dict[str, str]) -> str:
    digests = suite_facts["code"].replace("; ", ", ")
    return f"Machine: {suite_facts['machine']}; code digest {digests}; {suite_facts['finished']}.\n"
