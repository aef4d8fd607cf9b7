"""Compute cells of a published suite anew, and compare their results with the published ones."""

from __future__ import annotations

import argparse
import random
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from advntk.arguments import Flag
from advntk.foundation.threads import available
from advntk.step import steps
from advntk.verbs import _publishing

if TYPE_CHECKING:
    from advntk.suite import Suite
    from advntk.telling.contents import Suite as Measured
    from advntk.telling.publishing.pieces import Piece

EPILOG = """\
A cell is a fit with all that is measured on it, a convergence check, a transfer, or an experiment.
exit status: 0 if all cells agree, 1 otherwise; a killed run resumes

three cells of the suite fashion, with its data from a folder:
  data=/usr/share/datasets/fashion-mnist
  advntk verify fashion --cells 3 --config "dataset_options={fashion_mnist: {mirror: $data}}"
"""


class Options(_publishing.PublishedOptions):
    """Of the verb ``verify``."""

    suite: Annotated[str, Flag(positional=True)] = Field(description="name of the published suite")
    cells: int | None = Field(default=None, ge=1, description="how many cells, drawn at random (default: all)")
    seed: int = Field(default=0, ge=0, description="of the draw")
    bound: Annotated[float, Flag(metavar="POINTS")] = _publishing.BOUND
    config: Annotated[list[str], Flag(metavar="KEY=VALUE")] = Field(
        default=[], description="keys that change no result, such as a mirror of the data"
    )
    work: Path = Field(default=Path("results/verify"), description="folder of the new results")
    cores: int = Field(default_factory=available, ge=1, description="for snakemake (default: all)")


def run(options: Options) -> int:
    """Compute and compare.

    Returns:
        0 if all cells agree, 1 otherwise.

    Raises:
        InputError: no suite of this name is published.
    """
    from advntk.foundation.errors import InputError, nearest
    from advntk.planning.config import read_suite, require_same_settings
    from advntk.telling import suite_file
    from advntk.telling.consistency import made_of
    from advntk.telling.mixing import outdated
    from advntk.telling.publishing.pieces import in_words
    from advntk.telling.publishing.replay import replays

    known = (options.published or _publishing.REFERENCE / options.suite) / "suite.json"
    if not known.is_file():
        names = sorted(path.parent.name for path in known.parent.parent.glob("*/suite.json"))
        remedy = f"give {', '.join(names)}" if names else "run it in a checkout, where results/reference is"
        what = f"no published suite with outcomes{nearest(options.suite, names)}"
        raise InputError(what, where=known.parent, remedy=remedy)
    published = suite_file.read_suite(known, allow_mixed=True)
    given = _configuration(published.command)
    settings = [*given.config, *options.config, f"results={options.work}"]
    suite = read_suite(given.configfile, settings)
    require_same_settings(published, suite.config, where=known)
    pieces = _drawn(published, options.cells, options.seed)
    print("\n".join(f"to compute: {words}" for words in in_words(pieces)))
    if modules := outdated(made_of(published), published.accepted):
        print(f"published by other code than this checkout's: {', '.join(modules)}")
    if Path(suite.root).exists():
        print(f"{suite.root} exists: what is finished there is not computed again", file=sys.stderr)
    sys.stdout.flush()
    words = ["--cores", str(options.cores), "--config", *settings]
    words += ["--configfile", *map(str, given.configfile)] if given.configfile else []
    _compute([*words, "--", f"{suite.root}/suite.json", *dict.fromkeys(_targets(suite, set(pieces)))])
    again = suite_file.read_suite(f"{suite.root}/suite.json", finished=True)
    found = {one.piece: one for one in replays(published, again)}
    differing = 0
    for piece in pieces:
        agrees = piece in found and found[piece].within(options.bound)
        differing += not agrees
        result = found[piece].words if piece in found else f"{piece.words}: nothing to compare was computed"
        print(f"{'agrees' if agrees else 'DIFFERS'}: {result}")
    print(f"{len(pieces) - differing} of {len(pieces)} cells agree within {options.bound:g} percentage points")
    return 1 if differing else 0


def _configuration(command: str) -> argparse.Namespace:
    """Configuration files and keys of the command that computed a suite."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--configfile", nargs="+", type=Path, default=[])
    parser.add_argument("--config", nargs="+", default=[])
    return parser.parse_known_args(shlex.split(command))[0]


def _drawn(published: Measured, count: int | None, seed: int) -> list[Piece]:
    """All pieces of a published suite, or a random sample in the order of the suite."""
    from advntk.telling.kinds import kinds

    found = (kind.piece(one) for kind in kinds().values() if kind.piece for one in published.of(kind.model))
    pieces = list(dict.fromkeys(found))
    if count is None or count >= len(pieces):
        return pieces
    return [pieces[place] for place in sorted(random.Random(seed).sample(range(len(pieces)), count))]


def _targets(suite: Suite, wanted: set[Piece]) -> Iterator[str]:
    """The files that snakemake has to make for pieces."""
    from advntk.telling.publishing.pieces import CHECK, Piece

    yield from (path for fit, path in _publishing.of_cells(suite) if fit in wanted)
    for job in steps()["check"].jobs(suite):
        if replace(_publishing.fit_of(job), other=CHECK) in wanted:
            yield steps()["check"].path(suite, job)
    for job in steps()["transfer"].jobs(suite):
        radius, other = float(job["eps255"]), f"transfer of {job['attack']}"
        if Piece(dataset=job["dataset"], seed=job["seed"], eps255=radius, other=other) in wanted:
            yield steps()["transfer"].path(suite, job)
    for job in steps()["experiment"].jobs(suite):
        if Piece(other=f"experiment {job['experiment']}") in wanted:
            yield steps()["experiment"].path(suite, job)


def _compute(words: Sequence[str]) -> None:
    """Run snakemake in this checkout; what it prints goes to standard error.

    Raises:
        InputError: it fails.
    """
    from advntk.foundation.errors import InputError

    command = [sys.executable, "-m", "snakemake", "--quiet", "rules", *words]
    if subprocess.run(command, stdout=sys.stderr).returncode:
        remedy = "its messages are above; once the cause is gone, the same command resumes"
        raise InputError("snakemake failed", where=shlex.join(command[2:]), remedy=remedy)
