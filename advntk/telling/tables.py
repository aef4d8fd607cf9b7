"""The tables: their registry, and the table of results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from advntk.foundation import files
from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import ConfigError, nearest
from advntk.telling.comparisons import write_comparisons
from advntk.telling.cost import write_cost
from advntk.telling.frames import Row, Suite, results_frame, rows
from advntk.telling.labels import NORMS, OUTSIDE, method_label, radius_label
from advntk.telling.listing import EMPTY, Listing, aligned, csv_text, latex_float, latex_page
from advntk.telling.protocol import write_protocol
from advntk.telling.tex import escaped
from advntk.telling.transfer_table import write_transfer

_WIDTH = 112  # characters of a line before a table is split by architectures
_CELL = 10  # characters of an accuracy


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


def write_table(name: str, suite: Suite, out_csv: str | Path) -> None:
    """Write a table as csv, and as md and tex beside it.

    Args:
        name: one of ``TABLES``.
        suite: what was measured.
        out_csv: path of the csv file.

    Raises:
        ConfigError: there is no such table.
    """
    if name not in TABLES:
        hint = nearest(name, TABLES)
        raise ConfigError(f"unknown table '{name}'{hint}", where="tables", remedy=f"allowed: {', '.join(TABLES)}")
    TABLES[name](suite, out_csv)


def write_robust_accuracy(suite: Suite, out_csv: str | Path) -> None:
    """Write the table of results to ``out_csv``, and the same as ``.md`` and ``.tex`` beside it.

    Args:
        suite: what was measured.
        out_csv: path of the CSV file; fractions, six digits.
    """
    path = Path(out_csv)
    found = rows(suite)
    markdown = _markdown(suite, list(_grids(suite, found, _one_line_title)), list(_stage_listings(suite, found)))
    files.write_text(path, csv_text(results_frame(suite)))
    files.write_text(path.with_suffix(".md"), markdown)
    files.write_text(path.with_suffix(".tex"), _latex(suite, list(_grids(suite, found, _stacked_title))))


def _one_line_title(network: str, quantity: str) -> str:
    """A column's title in Markdown, which has one line for it."""
    return f"{network} {quantity}"


def _stacked_title(network: str, quantity: str) -> str:
    """The longest line of a column's title in LaTeX, where networks and warnings have lines of their own."""
    return max(_stacked_lines(quantity), key=len)


def _grids(suite: Suite, found: Sequence[Row], title_of: Callable[[str, str], str]) -> Iterator[Grid]:
    """All printed tables, a wide one split by networks; ``title_of`` a network and quantity takes the width."""
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
        options = ", ".join(f"{key} {_setting(value)}" for key, value in attack.options.items())
        warning = "" if attack.inside_threat_model else f"; {OUTSIDE}: its points may lie beyond ε"
        settings[attack.name] = f"{attack.kind}{': ' if options else ''}{options}{warning}"
    return {name: settings[name] for name in suite.config.attacks if name in settings}


def _setting(value: Any) -> str:
    """An option's value in words; what is done one after the other is joined by +."""
    return " + ".join(map(str, value)) if isinstance(value, list) else str(value)


def _markdown(suite: Suite, grids: Sequence[Grid], stages: Sequence[Listing]) -> str:
    """All tables as Markdown whose columns line up in a terminal."""
    parts = [f"# Clean and robust accuracy: suite {suite.config.suite}", ""]
    parts += [f"* attack `{name}`: {text}" for name, text in attack_settings(suite).items()]
    if not grids:
        parts.append("\nThis suite has no records.")
    for grid in grids:
        parts += ["", f"## {grid.title}", "", grid.caption, "", *_aligned(grid)]
        parts += [""] * bool(grid.notes) + [f"* [{mark}] {text}" for mark, text in grid.notes.items()]
    return "\n".join([*parts, *(f"\n{listing.as_markdown(2).rstrip()}" for listing in stages)]) + "\n"


def _aligned(grid: Grid) -> list[str]:
    """A Markdown table with padded columns."""
    head = [
        "method",
        *(_one_line_title(network, quantity) for network in grid.networks for quantity in grid.quantities),
    ]
    return aligned(head, [[label, *(cell.text() if cell else EMPTY for cell in cells)] for label, cells in grid.lines])


def _stage_listings(suite: Suite, found: Sequence[Row]) -> Iterator[Listing]:
    """Robust accuracy after each stage of the attacks that are made of several."""
    config = suite.config
    staged = [row for row in found if row.stages]
    for dataset in config.datasets:
        for eps255 in config.eps255:
            for attack in config.attacks:
                mine = [row for row in staged if (row.dataset, row.eps255, row.attack) == (dataset, eps255, attack)]
                if not mine:
                    continue
                names = list(dict.fromkeys(name for row in mine for name in row.stages))
                yield Listing(
                    title=f"{dataset}, {radius_label(eps255)} ({NORMS[config.norm]}): stages of {mine[0].attack_label}",
                    caption=(
                        "Robust accuracy in percent after each stage of the attack and all stages before it, mean over "
                        f"seeds; n_test = {_span([row.n_test for row in mine])}, "
                        f"seeds = {_span([row.seeds for row in mine])}."
                    ),
                    head=["network", "method", "clean", *names],
                    lines=[_stage_line(row, names) for row in mine],
                    words=2,
                )


def _stage_line(row: Row, names: Sequence[str]) -> list[str]:
    accuracies = [f"{100 * row.stages[name]:.1f}" if name in row.stages else EMPTY for name in names]
    return [row.spec.label, method_label(row.method, row.checkpoint), f"{100 * row.clean[0]:.1f}", *accuracies]


def _latex(suite: Suite, grids: Sequence[Grid]) -> str:
    r"""All tables as LaTeX floats to be read with ``\input``."""
    settings = "; ".join(f"{name} is {text}" for name, text in attack_settings(suite).items())
    title = f"Clean and robust accuracy: suite {suite.config.suite}"
    return latex_page(title, [_float(grid, settings) for grid in grids])


def _float(grid: Grid, settings: str) -> str:
    """One table as a float, networks above their quantities."""
    across = len(grid.quantities)
    groups = [(network, 2 + across * i) for i, network in enumerate(grid.networks)]
    networks = " & ".join(f"\\multicolumn{{{across}}}{{c}}{{{escaped(network)}}}" for network, _ in groups)
    rules = " ".join(f"\\cmidrule(lr){{{start}-{start + across - 1}}}" for _, start in groups)
    titles = " & ".join([_stacked(quantity) for quantity in grid.quantities] * len(groups))
    return latex_float(
        caption=f"{grid.title}. {grid.caption} Attacks: {settings}.",
        columns="l" + "r" * across * len(groups),
        head=[f" & {networks} \\\\", rules, f"method & {titles} \\\\"],
        body=[
            " & ".join([escaped(label), *(cell.tex() if cell else "---" for cell in cells)]) + r" \\"
            for label, cells in grid.lines
        ],
        notes=[f"\\textsuperscript{{{mark}}} {escaped(text)}" for mark, text in grid.notes.items()],
    )


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


TABLES: dict[str, Callable[[Suite, str | Path], None]] = {
    "robust_accuracy": write_robust_accuracy,
    "comparisons": write_comparisons,
    "cost": write_cost,
    "transfer": write_transfer,
    "reference_protocol": write_protocol,
}
