"""The verbs ``list``, ``plan`` and ``costs``: libraries are imported inside."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from advntk.foundation import threads
from advntk.foundation.argument_types import at_least

PLAN = """\
Times are those of the nearest job of the same kind that was measured, in proportion to the work. Measured are the
suites in results/reference/costs and those whose results are here; 'work over measured' says how far a time was
carried. Nothing is started. 'advntk costs' keeps what a suite took in one file.
"""


def add_configuration(parser: argparse.ArgumentParser) -> None:
    """Options that name a suite as Snakemake's do."""
    parser.add_argument(
        "--configfile", type=Path, nargs="+", default=[], help="overlays on config.yaml, merged in their order"
    )
    parser.add_argument("--config", nargs="+", default=[], metavar="KEY=VALUE", help="single keys, merged last")


def add_plan(parser: argparse.ArgumentParser) -> None:
    """Options of ``plan``."""
    parser.epilog = PLAN
    add_configuration(parser)
    parser.add_argument("--cores", type=at_least(1), default=threads.available(), help="cores (default: all)")
    parser.add_argument("--memory-mb", type=at_least(1), help="memory of one job (default: all of this machine)")
    parser.add_argument("--disk-gb", type=at_least(0), help="disk for the results (default: what is free here)")
    parser.add_argument("--hours", type=at_least(1), help="what one job may take (default: no limit)")
    into = "page (md) for the plan, between <!-- plan:begin/end -->; from results/reference/costs alone"
    parser.add_argument("--into", type=Path, help=into)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="as Markdown")
    form.add_argument("--json", action="store_true", help="as one JSON object")


def add_costs(parser: argparse.ArgumentParser) -> None:
    """Options of ``costs``."""
    parser.add_argument("--suite", type=Path, required=True, help="results/SUITE/suite.json")
    parser.add_argument(
        "--out", type=Path, required=True, help="json to write, such as results/reference/costs/SUITE.json"
    )


def run_list(args: argparse.Namespace) -> None:
    """What a configuration can name: datasets, families, methods, attacks, losses …; with a NAME its options."""
    from advntk.planning.entries import KINDS, details, overview

    lines = details(args.kind, args.name) if args.name else overview([args.kind] if args.kind else list(KINDS))
    print("\n".join(lines))


def run_plan(args: argparse.Namespace) -> None:
    """Say what a suite takes before it runs: jobs, time, memory and disk by rule and method, and what will not fit."""
    from advntk.foundation.errors import AdvntkError
    from advntk.planning import plan
    from advntk.planning.config import read_suite
    from advntk.planning.costs import Measurements, committed, read_costs
    from advntk.telling.listing import markdown_table
    from advntk.telling.pages import write_between

    suite = read_suite(args.configfile, args.config)
    measured = committed(Path())
    for path in [] if args.into else sorted(Path(suite.config.results).glob("*/suite.json")):
        try:
            measured.append(read_costs(path))
        except AdvntkError as error:  # of another version, or nothing of it has run
            print(f"note: {error.line()}", file=sys.stderr)
    memory_mb, disk_gb = plan.limits_here(Path(suite.root))
    limits = plan.Limits(
        cores=args.cores,
        memory_mb=memory_mb if args.memory_mb is None else args.memory_mb,
        disk_gb=disk_gb if args.disk_gb is None else args.disk_gb,
        hours=args.hours,
    )
    made = plan.plan(suite, Measurements(measured), limits)
    rows = [line.row for line in made.lines]
    page = [*markdown_table(plan.HEAD, rows).splitlines(), "", *(f"* {sentence}" for sentence in made.verdicts())]
    if args.into:
        write_between(args.into, "plan", page)
    elif args.json:
        print(json.dumps(made.as_json(), allow_nan=False))
    else:
        print("\n".join(page if args.markdown else [*plan.aligned([plan.HEAD, *rows]), "", *made.verdicts()]))


def run_costs(args: argparse.Namespace) -> None:
    """Keep what the jobs of a suite took, in one small file."""
    from advntk.planning.costs import read_costs, write_costs

    write_costs(read_costs(args.suite), args.out)
