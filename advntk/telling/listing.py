"""Tables: columns from which CSV, Markdown and LaTeX follow."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import pandas as pd

from advntk.foundation import files
from advntk.foundation.errors import InputError

if TYPE_CHECKING:
    from advntk.telling.contents import Suite

EMPTY = "—"
"""A cell in which nothing was measured."""
NOTHING = "Nothing was measured.\n"
_FLOATS = 4  # LaTeX tables before a page break
_SIGNS = "±×·−≤≥≠≈∞ℓ‖½→√∈∂∫₀₂¹²⁻εζηθκλστϖφαΘΞ"
_MATHS = (
    r"\pm \times \cdot - \le \ge \ne \approx {}_\infty \ell \| \frac12 \to \surd \in \partial \int {}_0 {}_2 {}^1 {}^2"
    r" {}^- \epsilon \zeta \eta \theta \kappa \lambda \sigma \tau \varpi \varphi \alpha \Theta \Xi"
)
"""LaTeX of each of the signs, in maths."""
_TEXT = {"—": "---", "–": "--", "…": r"\ldots{}", "“": "``", "”": "''", "‘": "`", "’": "'", '"': "''"}
_SPECIAL = {"\\": "backslash", "~": "asciitilde", "^": "asciicircum", "<": "less", ">": "greater", "|": "bar"}
_LATEX = str.maketrans(
    {letter: f"${maths}$" for letter, maths in zip(_SIGNS, _MATHS.split(), strict=True)}
    | _TEXT
    | {letter: f"\\text{name}{{}}" for letter, name in _SPECIAL.items()}
    | {letter: f"\\{letter}" for letter in "&%$#_{}"}
)


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: in the CSV file; empty: it is only printed.
        meaning: what its values are, for the description of published tables.
        type: of its values, for the same.
        of: the frame's column, or columns, that it prints; by default ``name``.
        head: its title where it is printed; empty: it is only in the CSV file.
        text: how a value is printed.
        words: whether it holds words, which are aligned to the left.
    """

    name: str = ""
    meaning: str = ""
    type: Literal["text", "integer", "number"] = "number"
    of: str | tuple[str, ...] = ""
    head: str = ""
    text: Callable[[Any], str] = str
    words: bool = False

    def cell(self, line: Mapping[str, Any]) -> str:
        """Its value of a line as it is printed, a dash for what is not known."""
        value = tuple(line[name] for name in self.of) if isinstance(self.of, tuple) else line[self.of or self.name]
        return EMPTY if value is None or value == "" or value != value else self.text(value) or EMPTY


def percent(fraction: float) -> str:
    """A fraction in percent."""
    return f"{100 * fraction:.1f}"


def accuracy(interval: tuple[float, float, float]) -> str:
    """Mean, low and high, fractions, as percent ± half the width of the interval."""
    return f"{100 * interval[0]:.1f} ± {50 * (interval[2] - interval[1]):.1f}"


def points(interval: tuple[float, float, float]) -> str:
    """A difference of fractions with its interval, in percentage points."""
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*(100 * value for value in interval))


def table(columns: Sequence[Column], lines: Iterable[Mapping[str, Any]], *more: str) -> pd.DataFrame:
    """A row for each line; its columns are those of the CSV file, and more that are needed for printing only."""
    return pd.DataFrame(list(lines), columns=[*(column.name for column in columns if column.name), *more])


def lines_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame, by the names of its columns."""
    return cast(list[dict[str, Any]], frame.to_dict("records"))


def groups(frame: pd.DataFrame, by: Sequence[str]) -> Iterator[tuple[Any, pd.DataFrame]]:
    """Rows of equal values, with these values; in the order of categories, or else as they come."""
    yield from frame.groupby(list(by), observed=True, sort=isinstance(frame[by[0]].dtype, pd.CategoricalDtype))


def csv_text(frame: pd.DataFrame) -> str:
    """A frame as CSV: six digits, more where a number is tiny (p does not become 0); short radii; unknowns empty."""
    if "eps255" in frame.columns:
        frame = frame.assign(eps255=[f"{eps255:g}" for eps255 in frame["eps255"]])
    return frame.to_csv(index=False, float_format=_number, lineterminator="\n")


def _number(value: Any) -> str:
    return f"{value:.3e}" if 0 < abs(value) < 1e-4 else f"{value:.6f}"


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One printed table.

    Attributes:
        caption: what the numbers are.
        head: column titles; a pair is the title of a group of columns and that of a column in it.
        lines: cells, as many a line as titles; ``**bold**`` as in Markdown.
        notes: sentences below the table.
        words: number of leading columns that hold words and are aligned to the left.
    """

    title: str
    caption: str
    head: Sequence[str | tuple[str, str]]
    lines: Sequence[Sequence[str]]
    notes: Sequence[str] = field(default_factory=list)
    words: int = 1

    def as_markdown(self, level: int) -> str:
        """The table in Markdown under a heading of this level."""
        return f"{'#' * level} {self.title}\n\n{self.body()}"

    def body(self) -> str:
        """The same without a heading."""
        titles = [title if isinstance(title, str) else " ".join(title) for title in self.head]
        table = markdown_table(titles, self.lines, words=self.words) if self.lines else NOTHING
        notes = "".join(["\n", *(f"* {note}\n" for note in self.notes)]) if self.notes else ""
        return f"{self.caption}\n\n{table}{notes}".lstrip("\n")

    def as_latex(self) -> str:
        """The table as a LaTeX float that needs booktabs and graphicx, shrunk where it is wider than the line."""
        grouped = any(not isinstance(title, str) for title in self.head)
        pairs = [("", title) if isinstance(title, str) else title for title in self.head]
        titles = pd.MultiIndex.from_tuples([(latex(group), latex(title)) for group, title in pairs])
        cells = pd.DataFrame([[latex(cell) for cell in line] for line in self.lines], columns=range(len(pairs)))
        cells.columns = titles if grouped else titles.get_level_values(1)
        align = "l" * self.words + "r" * (len(pairs) - self.words)
        tabular = cells.style.hide(axis="index").to_latex(hrules=True, column_format=align, multicol_align="c")
        parts = [
            r"\begin{table}[htbp]",
            r"\centering\footnotesize",
            f"\\caption{{{latex(f'{self.title}. {self.caption}')}}}\\par\\medskip",
            f"\\resizebox{{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}}{{!}}{{%\n{tabular.rstrip()}}}",
            *([r"\par\smallskip\raggedright\scriptsize"] if self.notes else []),
            *(f"{latex(note)}\\par" for note in self.notes),
            r"\end{table}",
        ]
        return "\n".join(parts)


def listing_of(
    columns: Sequence[Column], frame: pd.DataFrame, *, title: str, caption: str, notes: Sequence[str] = ()
) -> Listing:
    """Those columns that have a title, as a printed table; the ones with words lead."""
    shown = [column for column in columns if column.head]
    return Listing(
        title=title,
        caption=caption,
        head=[column.head for column in shown],
        lines=[[column.cell(line) for column in shown] for line in lines_of(frame)],
        notes=notes,
        words=sum(column.words for column in shown),
    )


def markdown_table(head: Sequence[str], lines: Sequence[Sequence[str]], *, words: int = 1) -> str:
    """A Markdown table whose columns line up, the first ``words`` of them to the left."""
    cells = [[cell.replace("|", r"\|") for cell in line] for line in lines]
    align = ["left"] * words + ["right"] * (len(head) - words)
    frame = pd.DataFrame(cells, columns=range(len(head)))
    return frame.to_markdown(index=False, headers=head, colalign=align, disable_numparse=True) + "\n"


def captioned_once(listings: Iterable[Listing]) -> Iterator[Listing]:
    """Tables that follow each other on a page: a caption that repeats the one before is left out."""
    before = ""
    for listing in listings:
        yield replace(listing, caption="") if listing.caption == before else listing
        before = listing.caption


def latex(text: str) -> str:
    """Plain text with Markdown's bold as LaTeX: special characters escaped, signs in maths."""
    return re.sub(r"\*\*(.+?)\*\*", r"\\textbf{\1}", text.translate(_LATEX))


def latex_page(title: str, listings: Sequence[Listing], notes: Sequence[str] = ()) -> str:
    r"""Floats to be read with ``\input``, and notes on the whole below them."""
    floats = [listing.as_latex() for listing in listings]
    for place in range(_FLOATS, len(floats), _FLOATS):  # LaTeX gives up on long runs of floats without text
        floats[place] = "\\clearpage\n" + floats[place]
    below = [f"\\par\\noindent {latex(note)}\\par" for note in notes]
    head = [f"% {title}", "% needs \\usepackage{booktabs} and \\usepackage{graphicx}"]
    return "\n".join([*head, *floats, *below]) + "\n"


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: stands over it, with the suite's name.
        columns: of the CSV file, and how they are printed.
        measured: its rows, which may have more columns.
        listings: the same for readers, in parts.
    """

    title: str
    columns: Sequence[Column]
    measured: Callable[[Suite], pd.DataFrame]
    listings: Callable[[Suite], Iterable[Listing]]

    def frame(self, suite: Suite) -> pd.DataFrame:
        """All its numbers, for the CSV file."""
        return self.measured(suite)[[column.name for column in self.columns if column.name]]


def write_between(path: Path, name: str, lines: Sequence[str]) -> None:
    """Replace what stands between ``<!-- name:begin -->`` and ``<!-- name:end -->``; the rest of the page stays.

    Raises:
        InputError: there is no such page, or it has no such markers.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    try:
        page = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError("file not found", where=path, remedy="check the path") from error
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise InputError("no place for the table", where=path, remedy=f"put the lines {begin} and {end} into it")
    files.write_text(path, "\n".join([f"{before}{begin}", "", *lines, "", f"{end}{after}"]))
