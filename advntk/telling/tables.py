"""The table of results, as CSV for programs, Markdown for terminals and LaTeX for papers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from advntk.foundation import files
from advntk.foundation.architecture import Architecture
from advntk.telling.frames import Row, Suite, results_frame, rows
from advntk.telling.labels import NORMS, OUTSIDE, method_label, radius_label
from advntk.telling.tex import escaped

_WIDTH = 112  # characters of a line before a table is split by architectures
_CELL = 10  # characters of an accuracy
_FLOATS = 4  # LaTeX tables before a page break
_EMPTY = "—"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One accuracy: ``mean`` and ``half`` (half the width of its interval), percent, and its footnotes."""

    mean: float
    half: float
    marks: str

    def text(self) -> str:
        """The cell in plain text: ``78.5 ± 1.2 [a]``."""
        return f"{self.mean:.1f} ± {self.half:.1f}" + (f" [{self.marks}]" if self.marks else "")

    def tex(self) -> str:
        """The cell in LaTeX, footnotes raised."""
        raised = f"\\textsuperscript{{{self.marks}}}" if self.marks else ""
        return f"${self.mean:.1f} \\pm {self.half:.1f}${raised}"


@dataclass(frozen=True, kw_only=True)
class Grid:
    """One printed table: a dataset and a radius; methods down, networks and attacks across.

    Attributes:
        networks: labels of the networks, such as ``mlp-3``.
        quantities: column titles within a network: ``clean``, then the attacks' names.
        lines: method label and its cells, network by network; None where nothing was measured.
        notes: footnotes by mark.
    """

    title: str
    caption: str
    networks: list[str]
    quantities: list[str]
    lines: list[tuple[str, list[Cell | None]]]
    notes: dict[str, str] = field(default_factory=dict)


def write_tables(suite: Suite, out_csv: str | Path) -> None:
    """Write ``out_csv``, and the same as ``.md`` and ``.tex`` beside it.

    Args:
        suite: what was measured.
        out_csv: path of the CSV file; fractions, six digits.
    """
    path = Path(out_csv)
    frame = results_frame(suite)
    frame["eps255"] = [f"{eps255:g}" for eps255 in frame["eps255"]]
    files.write_text(path, frame.to_csv(index=False, float_format="%.6f", lineterminator="\n"))
    files.write_text(path.with_suffix(".md"), _markdown(suite, list(_grids(suite, _one_line_title))))
    files.write_text(path.with_suffix(".tex"), _latex(suite, list(_grids(suite, _stacked_title))))


def _one_line_title(network: str, quantity: str) -> str:
    """A column's title in Markdown, which has one line for it."""
    return f"{network} {quantity}"


def _stacked_title(network: str, quantity: str) -> str:
    """The longest line of a column's title in LaTeX, where networks and warnings have lines of their own."""
    return max(_stacked_lines(quantity), key=len)


def _grids(suite: Suite, title_of: Callable[[str, str], str]) -> Iterator[Grid]:
    """All printed tables, a wide one split by networks; ``title_of`` a network and quantity takes the width."""
    found = rows(suite)
    config = suite.config
    specs = config.specs()
    for dataset in config.datasets:
        for eps255 in config.eps255:
            chosen = [row for row in found if row.dataset == dataset and row.eps255 == eps255]
            present = [spec for spec in specs if any(row.spec.label == spec.label for row in chosen)]
            title = f"{dataset}, {radius_label(eps255)} ({NORMS[config.norm]})"
            parts = list(_parts(present, chosen, title_of))
            for part in parts:
                labels = [spec.label for spec in part]
                heading = title if len(parts) == 1 else f"{title}: {', '.join(labels)}"
                yield _grid(suite, heading, part, [row for row in chosen if row.spec.label in labels])


def _parts(
    specs: Sequence[Architecture], chosen: Sequence[Row], title_of: Callable[[str, str], str]
) -> Iterator[Sequence[Architecture]]:
    """The networks in parts that fit a line, at least one in each."""
    quantities = ("clean", *{row.attack_label for row in chosen})
    longest = max((spec.label for spec in specs), key=len, default="")
    one = sum(max(len(title_of(longest, quantity)), _CELL) + 3 for quantity in quantities)
    method = max((len(method_label(row.method, row.checkpoint)) for row in chosen), default=0)
    at_once = max(1, (_WIDTH - method) // one)
    for start in range(0, len(specs), at_once):
        yield specs[start : start + at_once]


def _grid(suite: Suite, title: str, specs: Sequence[Architecture], chosen: Sequence[Row]) -> Grid:
    """One printed table of some networks."""
    attacks = {row.attack: row.attack_label for row in chosen}
    attacks = {name: attacks[name] for name in suite.config.attacks if name in attacks}
    notes: dict[str, str] = {}
    lines: list[tuple[str, list[Cell | None]]] = []
    for method in suite.config.methods:
        for checkpoint in dict.fromkeys(row.checkpoint for row in chosen if row.method == method):
            cells: list[Cell | None] = []
            for spec in specs:
                cell = (method, checkpoint, spec.label)
                mine = [row for row in chosen if (row.method, row.checkpoint, row.spec.label) == cell]
                by_attack = {row.attack: row for row in mine}
                cells.append(_cell(mine[0].clean, (), notes) if mine else None)
                for attack in attacks:
                    row = by_attack.get(attack)
                    cells.append(_cell(row.robust, row.flags, notes) if row else None)
            lines.append((method_label(method, checkpoint), cells))
    return Grid(
        title=title,
        caption=_caption(chosen),
        networks=[spec.label for spec in specs],
        quantities=["clean", *attacks.values()],
        lines=lines,
        notes={mark: text for text, mark in notes.items()},
    )


def _cell(interval: tuple[float, float, float], flags: Sequence[str], notes: dict[str, str]) -> Cell:
    """One accuracy in percent; its flags get marks in ``notes`` (text → mark), shared by equal texts."""
    mean, low, high = interval
    marks = [notes.setdefault(flag, _mark(len(notes))) for flag in flags]
    return Cell(mean=100 * mean, half=50 * (high - low), marks=",".join(marks))


def _mark(index: int) -> str:
    """Footnote marks: a, b, …, z, aa, ab, and so on."""
    letter = chr(ord("a") + index % 26)
    return letter if index < 26 else _mark(index // 26 - 1) + letter


def _caption(chosen: Sequence[Row]) -> str:
    """What the numbers are: sizes, seeds and the kind of interval."""
    sizes = {name: _span([getattr(row, name) for row in chosen]) for name in ("n_test", "n_opt", "seeds")}
    alone = " (one seed: the spread over seeds is not in it)" if sizes["seeds"] == "1" else ""
    return (
        "Accuracy in percent, mean ± half the width of its 95% bootstrap interval over seeds and test examples"
        f"{alone}; n_test = {sizes['n_test']}, n_opt = {sizes['n_opt']}, seeds = {sizes['seeds']}. "
        "Columns other than clean: accuracy under the attack that the column names, correct without it too."
    )


def _span(values: Sequence[int]) -> str:
    """``797``, or ``100–797`` where values differ."""
    low, high = min(values, default=0), max(values, default=0)
    return f"{low}" if low == high else f"{low}–{high}"


def attack_settings(suite: Suite) -> dict[str, str]:
    """Settings of each attack of the suite in words, by its label."""
    settings = {}
    for item in suite.measured:
        attack = item.record.attack
        options = ", ".join(f"{key} {value}" for key, value in attack.options.items())
        warning = "" if attack.inside_threat_model else f"; {OUTSIDE}: its points may lie beyond ε"
        settings[attack.name] = f"{attack.kind}{': ' if options else ''}{options}{warning}"
    return {name: settings[name] for name in suite.config.attacks if name in settings}


def _markdown(suite: Suite, grids: Sequence[Grid]) -> str:
    """All tables as Markdown whose columns line up in a terminal."""
    parts = [f"# Clean and robust accuracy: suite {suite.config.suite}", ""]
    parts += [f"* attack `{name}`: {text}" for name, text in attack_settings(suite).items()]
    if not grids:
        parts.append("\nThis suite has no records.")
    for grid in grids:
        parts += ["", f"## {grid.title}", "", grid.caption, "", *_aligned(grid)]
        parts += [""] * bool(grid.notes) + [f"* [{mark}] {text}" for mark, text in grid.notes.items()]
    return "\n".join(parts) + "\n"


def _aligned(grid: Grid) -> list[str]:
    """A Markdown table with padded columns."""
    head = [
        "method",
        *(_one_line_title(network, quantity) for network in grid.networks for quantity in grid.quantities),
    ]
    body = [[label, *(cell.text() if cell else _EMPTY for cell in cells)] for label, cells in grid.lines]
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    padded = [
        [line[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(line[1:], widths[1:], strict=True))]
        for line in [head, *body]
    ]
    return ["| " + " | ".join(line) + " |" for line in [padded[0], rule, *padded[1:]]]


def _latex(suite: Suite, grids: Sequence[Grid]) -> str:
    r"""All tables as LaTeX floats to be read with ``\input``."""
    head = [
        f"% Clean and robust accuracy: suite {suite.config.suite}",
        "% needs \\usepackage{booktabs} and \\usepackage{graphicx}",
    ]
    settings = "; ".join(f"{name} is {text}" for name, text in attack_settings(suite).items())
    floats = [_float(grid, settings) for grid in grids]
    for place in range(_FLOATS, len(floats), _FLOATS):  # LaTeX gives up on long runs of floats without text
        floats[place] = "\\clearpage\n" + floats[place]
    return "\n".join([*head, *floats]) + "\n"


def _float(grid: Grid, settings: str) -> str:
    """One table as a float, shrunk where it is wider than the line."""
    across = len(grid.quantities)
    groups = [(network, 2 + across * i) for i, network in enumerate(grid.networks)]
    networks = " & ".join(f"\\multicolumn{{{across}}}{{c}}{{{escaped(network)}}}" for network, _ in groups)
    rules = " ".join(f"\\cmidrule(lr){{{start}-{start + across - 1}}}" for _, start in groups)
    titles = " & ".join([_stacked(quantity) for quantity in grid.quantities] * len(groups))
    body = [
        " & ".join([escaped(label), *(cell.tex() if cell else "---" for cell in cells)]) + r" \\"
        for label, cells in grid.lines
    ]
    notes = [f"\\textsuperscript{{{mark}}} {escaped(text)}\\par" for mark, text in grid.notes.items()]
    lines = [
        r"\begin{table}[htbp]",
        r"\centering\footnotesize",
        f"\\caption{{{escaped(grid.title)}. {escaped(grid.caption)} Attacks: {escaped(settings)}.}}\\par\\medskip",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        f"\\begin{{tabular}}{{l{'r' * across * len(groups)}}}",
        r"\toprule",
        f" & {networks} \\\\",
        rules,
        f"method & {titles} \\\\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}}",
        *([r"\par\smallskip\raggedright\scriptsize", *notes] if notes else []),
        r"\end{table}",
    ]
    return "\n".join(lines)


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
