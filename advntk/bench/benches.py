"""The benches by name, and how their results are shown.

A bench is a module whose docstring starts with "``bench NAME``: summary", with ``ABOUT`` (its help), ``WORDS`` (its
keys in words), ``add_arguments(parser)`` and ``run(args)``, which gives the result's keys. Such modules import
libraries inside their functions: the command line reads their options before it limits threads.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import Any

from advntk.bench import at, gram, pgd, runs, scaling, solver, table
from advntk.foundation import threads
from advntk.foundation.argument_types import at_least


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One bench.

    Attributes:
        run: measures, and gives the result's keys.
        add_arguments: adds its options.
        summary: one line for the list of benches.
        about: its help.
        words: keys of the result in words, for people.
        measures: whether the result is a measurement, which names versions and hardware.
        on_gpus: whether it can measure on a GPU too.
    """

    run: Callable[[argparse.Namespace], dict[str, Any]]
    add_arguments: Callable[[argparse.ArgumentParser], None]
    summary: str
    about: str
    words: Mapping[str, str] = field(default_factory=dict)
    measures: bool = True
    on_gpus: bool = False


def _bench(module: Any, *, measures: bool = True, on_gpus: bool = False) -> Bench:
    return Bench(
        run=module.run,
        add_arguments=module.add_arguments,
        summary=module.__doc__.splitlines()[0].partition(": ")[2],
        about=module.ABOUT,
        words=module.WORDS,
        measures=measures,
        on_gpus=on_gpus,
    )


BENCHES = {
    "solver": _bench(solver, on_gpus=True),
    "pgd": _bench(pgd, on_gpus=True),
    "gram": _bench(gram, on_gpus=True),
    "scaling": _bench(scaling),
    "at": _bench(at, on_gpus=True),
    "table": _bench(table, measures=False),
    "runs": _bench(runs, measures=False),
}


def add_benches(parser: argparse.ArgumentParser) -> None:
    """Add every bench with its options to the verb's parser."""
    names = parser.add_subparsers(dest="bench", required=True, metavar="BENCH")
    for name, bench in BENCHES.items():
        sub = names.add_parser(
            name, help=bench.summary, description=bench.about, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        bench.add_arguments(sub)
        if bench.measures:
            sub.add_argument("--repeats", type=at_least(1), default=3, help="timed runs of each form (default: 3)")
            sub.add_argument("--seed", type=at_least(0), default=0, help="of images, labels and matrices (default: 0)")
            sub.add_argument(
                "--threads", type=at_least(1), default=threads.available(), help="threads (default: all cores)"
            )
        if bench.on_gpus:
            sub.add_argument("--device", choices=["cpu", "gpu"], default="cpu", help="where (default: %(default)s)")
        else:
            sub.set_defaults(device="cpu")
        sub.add_argument("--json", action="store_true", help="print one JSON object, alone on standard output")


def run_bench(args: argparse.Namespace) -> None:
    """Run the bench of the command line and print its result; all else that is printed goes to standard error."""
    bench = BENCHES[args.bench]
    with redirect_stdout(sys.stderr):
        result = {"bench": args.bench, **bench.run(args)}
        if bench.measures and "versions" not in result:
            from advntk.bench import timing

            result |= {"repeats": args.repeats, "seed": args.seed, **timing.machine(args.threads)}
    print(json.dumps(result, allow_nan=False) if args.json else told(result, bench.words))


def told(result: Mapping[str, Any], words: Mapping[str, str]) -> str:
    """A result as lines for people: one a key; lists of mappings as columns."""
    lines, singles = [], []
    for key, value in result.items():
        if isinstance(value, Mapping):
            lines.append(f"{key}: " + ", ".join(f"{name} {_shown(item)}" for name, item in value.items()))
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            lines.extend(["", *_columns(value), ""])
        elif key != "bench":
            singles.append((words.get(key, key), _shown(value)))
    width = max((len(label) for label, _ in singles), default=0)
    head = [f"bench {result['bench']}", *(f"  {label:<{width}}  {value}" for label, value in singles)]
    return "\n".join([*head, *lines])


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    names = list(rows[0])
    cells = [names, *([_shown(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    return ["  " + "  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)) for line in cells]


def _shown(value: Any) -> str:
    """A number in four digits; — for none."""
    if value is None:
        return "—"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
