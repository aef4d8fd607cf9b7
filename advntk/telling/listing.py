"""Flat tables, as CSV for programs, Markdown for terminals and LaTeX for papers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from advntk.foundation import files
from advntk.telling.tex import escaped

EMPTY = "—"
"""A cell in which nothing was measured."""
_FLOATS = 4  # LaTeX tables before a page break


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One printed table.

    Attributes:
        caption: what the numbers are.
        head: column titles.
        lines: cells, as many a line as titles.
        notes: sentences below the table.
        words: number of leading columns that hold words and are aligned to the left.
    """

    title: str
    caption: str
    head: list[str]
    lines: list[list[str]]
    notes: list[str] = field(default_factory=list)
    words: int = 1

    def as_markdown(self, level: int) -> str:
        """The table in Markdown, its columns lined up, under a heading of this level."""
        return f"{'#' * level} {self.title}\n\n{self.body()}"

    def body(self) -> str:
        """The same without a heading."""
        body = aligned(self.head, self.lines, words=self.words) if self.lines else ["Nothing was measured."]
        notes = ["", *(f"* {note}" for note in self.notes)] if self.notes else []
        return "\n".join([self.caption, "", *body, *notes]) + "\n"

    def as_latex(self) -> str:
        """The table as a LaTeX float, everything escaped."""
        return latex_float(
            caption=f"{self.title}. {self.caption}",
            columns="l" * self.words + "r" * (len(self.head) - self.words),
            head=[" & ".join(map(escaped, self.head)) + r" \\"],
            body=[" & ".join(map(escaped, line)) + r" \\" for line in self.lines],
            notes=[escaped(note) for note in self.notes],
        )


def write_listings(
    title: str, frame: pd.DataFrame, listings: Sequence[Listing], out_csv: str | Path, *, notes: Sequence[str] = ()
) -> None:
    """Write a frame to ``out_csv``, and the tables that print it, one below the other, as ``.md`` and ``.tex``.

    Args:
        title: of all.
        frame: all numbers; accuracies as fractions.
        listings: the same for readers, in parts.
        out_csv: path of the CSV file.
        notes: on the whole, at the end.
    """
    parts = [listing.as_markdown(2) for listing in listings] or ["Nothing was measured.\n"]
    markdown = markdown_page([f"# {title}\n", *parts], notes)
    path = Path(out_csv)
    files.write_text(path, csv_text(frame))
    files.write_text(path.with_suffix(".md"), markdown)
    files.write_text(path.with_suffix(".tex"), latex_page(title, [listing.as_latex() for listing in listings], notes))


def markdown_page(parts: Sequence[str], notes: Sequence[str] = ()) -> str:
    """Parts of a page that each end in a line's end, and notes on the whole below them."""
    return "\n".join([*parts, *(f"* **{note}**\n" for note in notes)])


def csv_text(frame: pd.DataFrame) -> str:
    """A frame as CSV: six digits, more where a number is tiny (p does not become 0); short radii; unknowns empty."""
    if "eps255" in frame.columns:
        frame = frame.assign(eps255=[f"{eps255:g}" for eps255 in frame["eps255"]])
    return frame.to_csv(index=False, float_format=_number, lineterminator="\n")


def _number(value: Any) -> str:
    return f"{value:.3e}" if 0 < abs(value) < 1e-4 else f"{value:.6f}"


def aligned(head: Sequence[str], lines: Sequence[Sequence[str]], *, words: int = 1) -> list[str]:
    """A Markdown table with padded columns, the first ``words`` of them to the left."""
    table = [head, *lines]
    widths = [max(3, *(len(line[i]) for line in table)) for i in range(len(head))]
    rule = ["-" * width if i < words else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    padded = [
        [text.ljust(widths[i]) if i < words else text.rjust(widths[i]) for i, text in enumerate(line)] for line in table
    ]
    return ["| " + " | ".join(line) + " |" for line in [padded[0], rule, *padded[1:]]]


def latex_float(
    *, caption: str, columns: str, head: Sequence[str], body: Sequence[str], notes: Sequence[str] = ()
) -> str:
    r"""A table as a LaTeX float, shrunk where it is wider than the line.

    Args:
        caption: plain text.
        columns: alignment of the columns, such as ``lrr``.
        head: LaTeX lines above the middle rule.
        body: LaTeX lines below it, each with its ``\\``.
        notes: LaTeX lines below the table.

    Returns:
        LaTeX that needs booktabs and graphicx.
    """
    lines = [
        r"\begin{table}[htbp]",
        r"\centering\footnotesize",
        f"\\caption{{{escaped(caption)}}}\\par\\medskip",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        f"\\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        *head,
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}}",
        *([r"\par\smallskip\raggedright\scriptsize", *(f"{note}\\par" for note in notes)] if notes else []),
        r"\end{table}",
    ]
    return "\n".join(lines)


def latex_page(title: str, floats: Sequence[str], notes: Sequence[str] = ()) -> str:
    r"""Floats to be read with ``\input``, and notes on the whole below them."""
    floats = list(floats)
    for place in range(_FLOATS, len(floats), _FLOATS):  # LaTeX gives up on long runs of floats without text
        floats[place] = "\\clearpage\n" + floats[place]
    below = [f"\\par\\noindent\\textbf{{{escaped(note)}}}\\par" for note in notes]
    head = [f"% {title}", "% needs \\usepackage{booktabs} and \\usepackage{graphicx}"]
    return "\n".join([*head, *floats, *below]) + "\n"
