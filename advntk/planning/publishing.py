"""The verbs ``publish``, ``missing`` and ``accept``: a suite published in parts; libraries are imported inside."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from advntk.suite import Suite
    from advntk.telling.contents import Suite as Measured
    from advntk.telling.missing import Missing

REFERENCE = Path("results/reference")
_PARTS = """\
a long suite in parts, on one machine after the other:
  advntk missing --configfile suites/fashion.yaml                 what is not published yet
  snakemake --cores all --configfile suites/fashion.yaml -- $(advntk missing --configfile suites/fashion.yaml --targets)
  advntk publish --add --suite results/fashion/suite.json --out results/reference/fashion
The last may run at any time, also after the second was stopped: it takes what is finished. Commit the folder. If the
code changed between two parts, run one published cell again, then:
  advntk accept --suite results/fashion/suite.json
"""


def add_publish(parser: argparse.ArgumentParser) -> None:
    """Options of ``publish``."""
    parser.add_argument(
        "--out", type=Path, required=True, help="folder, named as the suite; index.json beside it lists it"
    )
    parser.add_argument("--command", default="", help="that computed it (default: snakemake with the suite's file)")
    parser.add_argument(
        "--add",
        action="store_true",
        help="add what is finished to what the folder has; without it the suite must be whole and replaces the folder",
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="with --add: also replace published cells that differ from those here (default: they stay)",
    )
    _teach(parser)


def add_missing(parser: argparse.ArgumentParser) -> None:
    """Options of ``missing``."""
    from advntk.planning.verbs import add_configuration

    add_configuration(parser)
    _add_published(parser)
    parser.add_argument(
        "--targets", action="store_true", help="print only the files that snakemake has to make, one a line"
    )
    _teach(parser, "exit status: 0 if nothing is missing, 1 if something is\n\n")


def add_accept(parser: argparse.ArgumentParser) -> None:
    """Options of ``accept``."""
    parser.add_argument("--suite", type=Path, required=True, help="results/SUITE/suite.json, with the cells run again")
    _add_published(parser)
    parser.add_argument(
        "--bound",
        type=float,
        default=0.5,
        metavar="POINTS",
        help="percentage points by which accuracies may differ: of test images each, along training on average; "
        "numbers of an experiment by as many percent (default: 0.5)",
    )
    _teach(parser)


def _add_published(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--published", type=Path, help=f"folder of the published suite (default: {REFERENCE}/SUITE)")


def _teach(parser: argparse.ArgumentParser, before: str = "") -> None:
    parser.epilog = before + _PARTS
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def run_publish(args: argparse.Namespace) -> None:
    """Write a finished suite, or with --add what is finished of it, as a few small files (csv and json).

    Raises:
        ConfigError: --replace without --add.
    """
    from advntk.foundation.errors import ConfigError
    from advntk.planning.config import require_of_files, require_same_settings
    from advntk.telling.adding import add, nothing_of
    from advntk.telling.consistency import check, settled
    from advntk.telling.missing import missing
    from advntk.telling.pieces import in_words
    from advntk.telling.publish import publish
    from advntk.telling.suite_file import read_suite

    if args.replace and not args.add:
        what = "goes with --add"
        raise ConfigError(what, where="--replace", remedy="give both; without --add the folder is replaced as a whole")
    suite = read_suite(args.suite, allow_mixed=args.allow_mixed, finished=args.add)
    lines = []
    if args.add:
        known, before = args.out / "suite.json", nothing_of(suite)
        if known.is_file():
            before = read_suite(known, allow_mixed=args.allow_mixed)
            require_same_settings(before.config, suite.config, where=known)
        whole, change = add(before, suite, replace_published=args.replace)
        check(whole, str(args.out), whole=False)
        suite = settled(whole, allow_mixed=args.allow_mixed, published=True)
        for word, pieces in (("added", change.added), ("replaced", change.replaced)):
            lines += [f"{word}: {line}" for line in in_words(pieces)] or [f"{word}: nothing"]
        lines += [f"published before, kept (--replace takes the one here): {line}" for line in in_words(change.kept)]
    if not (args.command or suite.command):
        require_of_files(suite.config, where=args.suite)
    publish(suite, args.out, command=args.command)
    lacking = missing(suite)
    print("\n".join([*lines, *(f"missing: {line}" for line in lacking.lines()), f"missing in all: {lacking.count}"]))


def run_missing(args: argparse.Namespace) -> int:
    """List the cells of a suite that are not published yet, and what snakemake has to make for them.

    Returns:
        0 if nothing is missing, 1 otherwise.
    """
    from advntk.planning.config import read_suite, require_same_settings
    from advntk.telling import suite_file
    from advntk.telling.contents import Suite as Measured
    from advntk.telling.missing import missing

    suite = read_suite(args.configfile, args.config)
    known = (args.published or REFERENCE / suite.config.suite) / "suite.json"
    published = Measured(config=suite.config, measured=(), curves=())
    if known.is_file():
        published = suite_file.read_suite(known, allow_mixed=True)
        require_same_settings(published.config, suite.config, where=known)
        published = replace(published, config=suite.config)
    lacking = missing(published)
    unchecked = _unchecked(published, suite)
    targets = [*(_targets(lacking, suite) or [f"{suite.root}/suite.json"]), *unchecked]
    if not (lacking or unchecked):
        if not args.targets:
            print("missing in all: nothing")
        return 0
    if args.targets:
        for target in targets:
            print(target)
    else:
        given = [
            f"--{name} {shlex.join(map(str, values))}"
            for name in ("configfile", "config")
            if (values := getattr(args, name))
        ]
        words = " ".join(given)
        lines = [*lacking.lines(), *(f"convergence check of {words}" for words in unchecked.values())]
        print("\n".join([*lines, f"missing in all: {lacking.count}", *_other_code(published, suite)]))
        print(f"run: snakemake --cores all {words} -- $(advntk missing {words} --targets)")
    return 1


def _unchecked(published: Measured, suite: Suite) -> dict[str, str]:
    """Convergence checks that are not published: what they are about, by the file that snakemake has to make."""
    known = {(one.dataset, one.architecture.label, one.method, one.trained_at.eps255) for one in published.checks}
    return {
        path: f"{cell.dataset} / {cell.spec.label} / {cell.method}, ε = {cell.eps255:g}/255"
        for path, cell in suite.checks().items()
        if (cell.dataset, cell.spec.label, cell.method, cell.eps255) not in known
    }


def _targets(lacking: Missing, suite: Suite) -> list[str]:
    """The files that snakemake has to make: all records and sweeps of each fit that lacks one, and others."""
    from advntk.foundation import paths

    torn = {key[:5] for key in (*lacking.records, *lacking.sweeps)}
    cells = suite.cells()
    fits = {cell.fit for cell in cells if (cell.dataset, cell.spec.label, cell.method, cell.eps255, cell.seed) in torn}
    found = [f"{suite.root}/suite.json"] if lacking else []
    for cell in cells:
        if cell.fit in fits:
            found += [suite.record_of(cell, attack) for attack in suite.attacks]
            found += [suite.sweep_of(cell, sweep) for sweep in suite.sweep_attacks]
    for dataset, eps255, seed, attack in lacking.transfers:
        where = {"dataset": dataset, "seed": seed, "eps255": paths.radius_name(eps255), "attack": attack}
        found.append(paths.TRANSFER.format(root=suite.root, **where))
    for name, unit in suite.units():
        if name in lacking.experiments:
            found.append(paths.FINDING.format(root=suite.root, experiment=name, unit=unit.name))
    return found


def _other_code(published: Measured, suite: Suite) -> Iterator[str]:
    """Whether this checkout is other code than what computed the published cells, and which to run again then."""
    from advntk.foundation import paths
    from advntk.foundation.records import Record
    from advntk.foundation.strength import Sweep
    from advntk.telling.consistency import made_of
    from advntk.telling.mixing import outdated
    from advntk.telling.pieces import Piece, of_fit

    modules = outdated(made_of(published), published.accepted)
    if not modules:
        return
    yield f"this checkout differs from the code of the published cells in {', '.join(modules)}"
    yield "before adding to them run one of them again, then advntk accept; the quickest of each method:"
    took = {of_fit(fit): fit.timing.get("wall_s", 0.0) for fit in published.fits}
    targets: dict[Piece, list[str]] = {}
    results: list[Record | Sweep] = [*(item.record for item in published.measured), *published.sweeps]
    for one in results:
        piece = of_fit(one)
        took[piece] += one.timing.get("wall_s", 0.0)
        where = {"dataset": one.dataset, "seed": one.seed, "architecture": one.architecture.label}
        where |= {"method": one.method, "eps255": paths.radius_name(one.threat.eps255), "attack": one.attack.name}
        pattern = paths.RECORD if isinstance(one, Record) else paths.SWEEP.replace("{sweep}", one.kind)
        targets.setdefault(piece, []).append(pattern.format(root=suite.root, **where))
    for method in published.config.methods:
        mine = [piece for piece in targets if piece.method == method]
        if mine:
            yield f"  {method}: {' '.join(targets[min(mine, key=took.__getitem__)])}"


def run_accept(args: argparse.Namespace) -> None:
    """Compare published cells with the same cells run again here; where they agree, accept the mix of their code.

    Raises:
        InputError: nothing is published. (So do cells that differ too much.)
    """
    from advntk.foundation.errors import InputError
    from advntk.planning.config import require_same_settings
    from advntk.telling.adding import add
    from advntk.telling.consistency import made_of
    from advntk.telling.mixing import mixes
    from advntk.telling.publish import publish
    from advntk.telling.replay import accepted, replays
    from advntk.telling.suite_file import read_suite

    again = read_suite(args.suite, finished=True)
    folder = args.published or REFERENCE / again.config.suite
    known = folder / "suite.json"
    if not known.is_file():
        raise InputError("file not found", where=known, remedy="publish a part of the suite first")
    published = read_suite(known, allow_mixed=True)
    require_same_settings(published.config, again.config, where=known)
    found = replays(published, again)
    print("\n".join(replay.words for replay in found))
    whole = accepted(published, found, args.bound)
    if whole is published:
        print("no other code than what is published or accepted")
    else:
        publish(whole, folder)
        modules = sorted({module for one in whole.accepted[len(published.accepted) :] for module in one.sources})
        print(f"accepted as equivalent: {', '.join(modules)}")
    both, _ = add(whole, again, replace_published=False)
    for mix in mixes(made_of(both), both.accepted):
        print(f"not accepted: {mix.what}")
