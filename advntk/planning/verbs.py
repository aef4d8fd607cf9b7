"""The verbs ``list``, ``plan``, ``costs`` and ``calibrate``: libraries are imported inside."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from advntk.foundation import threads
from advntk.foundation.argument_types import at_least

if TYPE_CHECKING:
    from advntk.planning.costs import Costs
    from advntk.planning.plan import Plan
    from advntk.planning.rates import Rates


def add_configuration(parser: argparse.ArgumentParser) -> None:
    """Options that name a suite as Snakemake's do."""
    parser.add_argument(
        "--configfile", type=Path, nargs="+", default=[], help="overlays on config.yaml, merged in their order"
    )
    parser.add_argument("--config", nargs="+", default=[], metavar="KEY=VALUE", help="single keys, merged last")


def add_plan(parser: argparse.ArgumentParser) -> None:
    """Options of ``plan``."""
    add_configuration(parser)
    parser.add_argument("--cores", type=at_least(1), default=threads.available(), help="cores (default: all)")
    parser.add_argument("--memory-mb", type=at_least(1), help="memory of one job (default: all of this machine)")
    parser.add_argument("--disk-gb", type=at_least(0), help="disk for the results (default: what is free here)")
    parser.add_argument("--hours", type=at_least(1), help="what one job may take (default: no limit)")
    parser.add_argument("--speed", type=float, default=1.0, help="of a core, over that of the rates (default: 1)")
    parser.add_argument("--rates", type=Path, help="file of calibrate (default: the rates of the package)")
    parser.add_argument("--measured", type=Path, help="suite.json or file of costs: compare estimates with it instead")
    parser.add_argument("--into", type=Path, help="page (md) to write the plan into, between <!-- plan:begin/end -->")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="as Markdown")
    form.add_argument("--json", action="store_true", help="as one JSON object")


def add_costs(parser: argparse.ArgumentParser) -> None:
    """Options of ``costs``."""
    parser.add_argument("--suite", type=Path, required=True, help="results/SUITE/suite.json")
    parser.add_argument("--out", type=Path, required=True, help="json to write, for calibrate")


def add_calibrate(parser: argparse.ArgumentParser) -> None:
    """Options of ``calibrate``."""
    parser.add_argument("suites", type=Path, nargs="*", help="suite.json of results, or files of costs")
    parser.add_argument("--probes", type=Path, help="file of probes to read; with --probe, to write")
    parser.add_argument("--probe", action="store_true", help="measure the probes now, a few minutes on one core")
    parser.add_argument("--out", type=Path, help="rates to write (default: those of the package)")
    parser.add_argument("--into", type=Path, help="page (md) for the fit's table, between <!-- fit:begin/end -->")
    parser.add_argument("--figure", type=Path, help="png of predicted over measured times")


def run_list(args: argparse.Namespace) -> None:
    """What a configuration can name: datasets, families, methods, attacks, experiments; with a NAME its options."""
    from advntk.planning.entries import KINDS, details, overview

    lines = details(args.kind, args.name) if args.name else overview([args.kind] if args.kind else list(KINDS))
    print("\n".join(lines))


def run_plan(args: argparse.Namespace) -> None:
    """Say what a suite costs before it runs: time, memory and disk by rule, and what will not fit."""
    from advntk.planning import telling
    from advntk.planning.costs import read_costs
    from advntk.planning.rates import RATES, read_rates

    rates = read_rates(args.rates or RATES)
    if args.measured:
        found = telling.compared(read_costs(args.measured), rates)
        lines = telling.aligned(telling.MEASURED_HEAD, telling.measured_rows(found))
        print("\n".join(markdown_of(telling.MEASURED_HEAD, telling.measured_rows(found)) if args.markdown else lines))
        return
    made = _plan(args, rates)
    if args.into:
        from advntk.bench.page import write_between

        write_between(args.into, "plan", plan_in_markdown(made))
    elif args.json:
        print(json.dumps(telling.as_json(made), allow_nan=False))
    elif args.markdown:
        print("\n".join(plan_in_markdown(made)))
    else:
        print("\n".join([*telling.aligned(telling.HEAD, telling.rows(made)), "", *telling.verdicts(made)]))


def _plan(args: argparse.Namespace, rates: Rates) -> Plan:
    """The plan that the command line asks for.

    Returns:
        The plan.

    Raises:
        ConfigError: the speed is not positive. (So does a wrong key of the suite.)
    """
    from advntk.foundation.errors import ConfigError
    from advntk.planning import plan
    from advntk.planning.config import read_suite

    if not args.speed > 0:
        raise ConfigError(f"{args.speed} is no speed", where="--speed", remedy="give a factor, like 1.5")
    suite = read_suite(args.configfile, args.config)
    memory_mb, disk_gb = plan.limits_here(Path(suite.root))
    limits = plan.Limits(
        cores=args.cores,
        memory_mb=memory_mb if args.memory_mb is None else args.memory_mb,
        disk_gb=disk_gb if args.disk_gb is None else args.disk_gb,
        hours=args.hours,
    )
    return plan.plan(suite, rates, limits, speed=args.speed)


def markdown_of(head: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    """A table in Markdown, numbers on the right."""
    marks = [":---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in (head, marks, *rows)]


def plan_in_markdown(plan: Plan) -> list[str]:
    """A plan as lines of a page: by rule, what it means, and the costliest networks."""
    from advntk.planning import telling

    networks = [
        [f"{dataset} {network}", f"{jobs:,}", telling.number(hours)]
        for dataset, network, hours, jobs in plan.by_network()[: telling.SHOWN]
    ]
    return [
        *markdown_of(telling.HEAD, telling.rows(plan)),
        "",
        *(line for sentence in telling.verdicts(plan) for line in (f"* {sentence}",)),
        "",
        "The costliest networks:",
        "",
        *markdown_of(("network", "jobs", "core hours"), networks),
    ]


def run_costs(args: argparse.Namespace) -> None:
    """Keep what the jobs of a suite took, in one small file."""
    from advntk.planning.costs import read_costs, write_costs

    write_costs(read_costs(args.suite), args.out)


def run_calibrate(args: argparse.Namespace) -> None:
    """Fit the rates of plan to finished suites and to short measurements.

    Raises:
        ConfigError: nothing to fit to.
    """
    from advntk.foundation import files, provenance
    from advntk.foundation.errors import ConfigError
    from advntk.planning import calibration, figure, telling
    from advntk.planning.costs import read_costs
    from advntk.planning.probes import read_probes, run_probes, write_probes
    from advntk.planning.rates import RATES

    if not (args.suites or args.probes or args.probe):
        raise ConfigError(
            "nothing to fit to", where="calibrate", remedy="give suite.json of a finished suite, --probe or both"
        )
    if args.probe:
        threads.limit(1)
        probes = run_probes()
        if args.probes:
            write_probes(probes, args.probes, machine=provenance.processor())
    else:
        probes = read_probes(args.probes) if args.probes else []
    suites = [(costs.suite.config.suite, costs) for costs in map(read_costs, args.suites)]
    machines = sorted({costs.machine for _, costs in suites}) or [provenance.processor()]
    rates = calibration.calibrated(suites, probes, machine={"processor": ", ".join(machines)})
    files.write_json(args.out or RATES, rates.as_json())
    found = [one for name, costs in suites for one in calibration.observations(name, costs)]
    found += calibration.probed("probes", probes)
    if args.figure:
        figure.write_figure(figure.fit_figure(found, rates), args.figure)
    if args.into:
        from advntk.bench.page import write_between

        write_between(args.into, "fit", fit_in_markdown(suites, rates))
    for name, costs in suites:
        rows = telling.measured_rows(telling.compared(costs, rates))
        print("\n".join([name, *telling.aligned(telling.MEASURED_HEAD, rows), ""]))


def fit_in_markdown(suites: list[tuple[str, Costs]], rates: Rates) -> list[str]:
    """How well the rates fit, suite by suite, and the rates."""
    from advntk.planning import telling
    from advntk.planning.work import UNITS

    lines = []
    for name, costs in suites:
        rows = telling.measured_rows(telling.compared(costs, rates))
        lines += [f"`{name}`, {len(costs.costs)} jobs:", "", *markdown_of(telling.MEASURED_HEAD, rows), ""]
    body = [
        [unit, what, f"{rates.seconds[unit]:.3g}" if unit in rates.seconds else "not measured"]
        for unit, what in UNITS.items()
    ]
    machine = rates.machine["processor"]
    memory = ", ".join(f"{base} {mb:.0f}" for base, mb in rates.bases.items())
    return [
        *lines,
        f"Rates of one core of {machine}, seconds a unit:",
        "",
        "| unit | what | seconds |",
        "| :--- | :--- | ---: |",
        *(f"| {' | '.join(cells)} |" for cells in body),
        "",
        f"MiB of a process without data, by the libraries that it loads: {memory}.",
    ]
