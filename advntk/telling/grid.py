"""Grids of accuracies: methods down, networks and what was measured across, in Markdown and in LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from advntk.telling.frames import Row
from advntk.telling.listing import EMPTY, aligned, latex_float
from advntk.telling.tex import escaped

_CELL = 10  # characters of an accuracy
_STARS = 4  # that Markdown puts around a bold one

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One accuracy: ``mean`` and ``half`` (half the width of its interval), percent, and its footnotes."""

    mean: float
    half: float
    marks: str = ""
    bold: bool = False

    def text(self) -> str:
        """The cell in Markdown: ``78.5 ± 1.2 [a]``."""
        number = f"{self.mean:.1f} ± {self.half:.1f}"
        return (f"**{number}**" if self.bold else number) + (f" [{self.marks}]" if self.marks else "")

    def tex(self) -> str:
        """The cell in LaTeX, footnotes raised."""
        number = f"{self.mean:.1f} \\pm {self.half:.1f}"
        raised = f"\\textsuperscript{{{self.marks}}}" if self.marks else ""
        return (f"$\\mathbf{{{number}}}$" if self.bold else f"${number}$") + raised


@dataclass(frozen=True, kw_only=True)
class Grid:
    """One printed table; methods down, groups of columns across, each group with the same quantities.

    Attributes:
        groups: what a group of columns is of, such as ``mlp-3``.
        quantities: column titles within a group: ``clean``, then attacks' names.
        lines: method label and its cells, group by group; None where nothing was measured.
        notes: footnotes by mark.
    """

    title: str
    caption: str
    groups: list[str]
    quantities: list[str]
    lines: list[tuple[str, list[Cell | None]]]
    notes: dict[str, str] = field(default_factory=dict)

    def as_markdown(self, level: int) -> str:
        """The grid in Markdown, its columns lined up, under a heading of this level."""
        head = ["method", *(one_line_title(group, quantity) for group in self.groups for quantity in self.quantities)]
        lines = [[label, *(cell.text() if cell else EMPTY for cell in cells)] for label, cells in self.lines]
        notes = ["", *(f"* [{mark}] {text}" for mark, text in self.notes.items())] if self.notes else []
        caption = [self.caption, ""] if self.caption else []
        return "\n".join([f"{'#' * level} {self.title}", "", *caption, *aligned(head, lines), *notes]) + "\n"

    def as_latex(self, settings: str) -> str:
        """The grid as a LaTeX float, groups above their quantities; ``settings`` of attacks end the caption."""
        across = len(self.quantities)
        starts = range(2, 2 + across * len(self.groups), across)
        groups = " & ".join(f"\\multicolumn{{{across}}}{{c}}{{{escaped(group)}}}" for group in self.groups)
        rules = " ".join(f"\\cmidrule(lr){{{start}-{start + across - 1}}}" for start in starts)
        titles = " & ".join([_stacked(quantity) for quantity in self.quantities] * len(self.groups))
        return latex_float(
            caption=f"{self.title}. {self.caption} Attacks: {settings}.",
            columns="l" + "r" * across * len(self.groups),
            head=[f" & {groups} \\\\", rules, f"method & {titles} \\\\"],
            body=[
                " & ".join([escaped(label), *(cell.tex() if cell else "---" for cell in cells)]) + r" \\"
                for label, cells in self.lines
            ],
            notes=[f"\\textsuperscript{{{mark}}} {escaped(text)}" for mark, text in self.notes.items()],
        )


def told_once(grids: Iterable[Grid]) -> Iterator[Grid]:
    """Grids that follow each other on a page: a caption that says what the one before it said is left out."""
    before = ""
    for grid in grids:
        yield replace(grid, caption="") if grid.caption == before else grid
        before = grid.caption


def one_line_title(group: str, quantity: str) -> str:
    """A column's title in Markdown, which has one line for it."""
    return f"{group} {quantity}"


def stacked_title(group: str, quantity: str) -> str:
    """The longest line of a column's title in LaTeX, where groups and warnings have lines of their own."""
    return max(_stacked_lines(quantity), key=len)


def in_parts(
    groups: Sequence[T],
    name_of: Callable[[T], str],
    quantities: Sequence[str],
    methods: Sequence[str],
    *,
    title_of: Callable[[str, str], str],
    width: int,
    bold: Sequence[str] = (),
) -> Iterator[Sequence[T]]:
    """Groups of columns in parts that fit a line, at least one group in each.

    Args:
        groups: of columns.
        name_of: the name of one.
        quantities: columns of each.
        methods: labels of the lines.
        title_of: a column's title as far as it takes width, from group and quantity.
        width: characters of a line.
        bold: quantities that may be set in bold.

    Yields:
        The parts, in order.
    """
    longest = max((name_of(group) for group in groups), key=len, default="")
    one = sum(max(len(title_of(longest, quantity)), _CELL + _STARS * (quantity in bold)) + 3 for quantity in quantities)
    at_once = max(1, (width - max(map(len, methods), default=0)) // one)
    for start in range(0, len(groups), at_once):
        yield groups[start : start + at_once]


def cell_of(
    interval: tuple[float, float, float], flags: Sequence[str], notes: dict[str, str], *, bold: bool = False
) -> Cell:
    """One accuracy in percent; its flags get marks in ``notes`` (text → mark), shared by equal texts."""
    mean, low, high = interval
    marks = [notes.setdefault(flag, _mark(len(notes))) for flag in flags]
    return Cell(mean=100 * mean, half=50 * (high - low), marks=",".join(marks), bold=bold)


def footnotes(row: Row, seeds: int) -> list[str]:
    """What a reader must know of a robust accuracy: doubts, and that some of the suite's seeds are missing."""
    return [*row.flags, *([f"{row.seeds} of {seeds} seeds"] if row.seeds < seeds else [])]


def _mark(index: int) -> str:
    """Footnote marks: a, b, …, z, aa, ab, and so on."""
    letter = chr(ord("a") + index % 26)
    return letter if index < 26 else _mark(index // 26 - 1) + letter


def sizes_caption(chosen: Sequence[Row]) -> str:
    """What the numbers are: sizes, seeds and the kind of interval."""
    sizes = {name: span_of([getattr(row, name) for row in chosen]) for name in ("n_test", "n_train", "seeds")}
    alone = " (one seed: the spread over seeds is not in it)" if sizes["seeds"] == "1" else ""
    return (
        "Accuracy in percent, mean ± half the width of its 95% interval over seeds and test examples, which is not "
        f"symmetric near 0 and 100{alone}; n_test = {sizes['n_test']}, n_train = {sizes['n_train']}, "
        f"seeds = {sizes['seeds']}."
    )


def span_of(values: Sequence[int]) -> str:
    """``797``, or ``100–797`` where values differ."""
    low, high = min(values, default=0), max(values, default=0)
    return f"{low}" if low == high else f"{low}–{high}"


def _stacked_lines(title: str) -> list[str]:
    """A column title in lines: a long name broken at the underscore nearest its middle, a warning by itself."""
    name, bracket, warning = title.partition(" (")
    breaks = [i + 1 for i, letter in enumerate(name) if letter == "_"]
    if len(name) > 16 and breaks:
        middle = min(breaks, key=lambda place: abs(place - len(name) / 2))
        parts = [name[:middle], name[middle:]]
    else:
        parts = [name]
    if bracket:
        # two lines keep the column about as narrow as its numbers
        first, _, rest = warning.partition(" ")
        parts += [f"({first}", rest] if rest else [f"({first}"]
    return parts


def _stacked(title: str) -> str:
    """A column title for LaTeX, in lines where it is long."""
    lines = _stacked_lines(title)
    stack = r" \\ ".join(map(escaped, lines))
    return stack if len(lines) == 1 else f"\\shortstack[r]{{{stack}}}"
