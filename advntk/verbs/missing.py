"""List the cells of a suite that are not published yet, and what snakemake has to make for them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from advntk.step import steps
from advntk.verbs import _options, _publishing

if TYPE_CHECKING:
    from advntk.suite import Suite
    from advntk.telling.contents import Suite as Measured
    from advntk.telling.publishing.parts import Missing

EPILOG = f"exit status: 0 if nothing is missing, 1 if something is\n\n{_publishing.PARTS}"


class Options(_publishing.PublishedOptions, _options.ConfigurationOptions):
    """Of the verb ``missing``."""

    targets: bool = Field(default=False, description="print only the files that snakemake has to make, one a line")


def run(options: Options) -> int:
    """List the missing cells.

    Returns:
        0 if nothing is missing, 1 otherwise.
    """
    from advntk.planning.config import read_suite, require_same_data, require_same_settings
    from advntk.telling import suite_file
    from advntk.telling.contents import Suite as Measured
    from advntk.telling.kinds.splits import SplitFacts
    from advntk.telling.publishing.parts import missing

    suite = read_suite(options.configfile, options.config)
    known = (options.published or _publishing.REFERENCE / suite.config.suite) / "suite.json"
    published = Measured(config=suite.config, measured=(), curves=())
    if known.is_file():
        published = suite_file.read_suite(known, allow_mixed=True)
        require_same_settings(published, suite.config, where=known)
        require_same_data(published.of(SplitFacts), suite)
        published = replace(published, config=suite.config)
    lacking = missing(published)
    more = _of_some(published, suite)
    targets = dict.fromkeys([*(_targets(lacking, suite) or [f"{suite.root}/suite.json"]), *more])
    if not (lacking or more):
        if not options.targets:
            print("missing in all: nothing")
        return 0
    if options.targets:
        for target in targets:
            print(target)
    else:
        given = [
            f"--{name} {shlex.join(map(str, values))}"
            for name in ("configfile", "config")
            if (values := getattr(options, name))
        ]
        words = " ".join(given)
        lines = [*lacking.lines(), *more.values()]
        print("\n".join([*lines, f"missing in all: {lacking.count}", *_other_code(published, suite)]))
        print(f"run: snakemake --cores all {words} -- $(advntk missing {words} --targets)")
    return 1


def _of_some(published: Measured, suite: Suite) -> dict[str, str]:
    """What not every cell has and is not published: in words, by the file that snakemake has to make.

    Returns:
        Convergence checks, and certificates of published fits; those of other fits come with these.
    """
    from advntk.foundation.certified import Certificates
    from advntk.foundation.recipes import Check
    from advntk.telling.kinds.fits import FitFacts
    from advntk.telling.publishing.pieces import CHECK, of_fit

    check, certify = steps()["check"], steps()["certify"]
    checked = {replace(of_fit(one), seed=None) for one in published.of(Check)}
    bare = {of_fit(one) for one in published.of(FitFacts)} - {of_fit(one) for one in published.of(Certificates)}
    planned = ((_publishing.fit_of(job), check.path(suite, job)) for job in check.jobs(suite))
    found = {path: f"{CHECK} of {fit.words}" for fit, path in planned if fit not in checked}
    planned = ((_publishing.fit_of(job), certify.path(suite, job)) for job in certify.jobs(suite))
    return found | {path: f"certificates of {fit.words}" for fit, path in planned if fit in bare}


def _targets(lacking: Missing, suite: Suite) -> list[str]:
    """The files that snakemake has to make: all results of cells of each fit that lacks one, and others."""
    from advntk.foundation.paths import radius_name

    torn = {key[:5] for key in lacking.of_cells}
    fits = {
        _publishing.fit_of(cell.fit)
        for cell in suite.cells()
        if (cell.dataset, cell.spec.label, cell.method, cell.eps255, cell.seed) in torn
    }
    transfer, experiment = (steps()[name] for name in ("transfer", "experiment"))
    found = [f"{suite.root}/suite.json"] if lacking else []
    found += [path for fit, path in _publishing.of_cells(suite) if fit in fits]
    for dataset, eps255, seed, attack in lacking.transfers:
        where = {"dataset": dataset, "seed": seed, "eps255": radius_name(eps255), "attack": attack}
        found.append(transfer.path(suite, where))
    wanted = (job for job in experiment.jobs(suite) if job["experiment"] in lacking.experiments)
    return [*found, *(experiment.path(suite, job) for job in wanted)]


def _other_code(published: Measured, suite: Suite) -> Iterator[str]:
    """Whether this checkout is other code than what computed the published cells, and which to run again then."""
    from advntk.telling.consistency import made_of
    from advntk.telling.kinds.fits import FitFacts
    from advntk.telling.mixing import outdated
    from advntk.telling.publishing.parts import of_cells
    from advntk.telling.publishing.pieces import Piece, of_fit

    modules = outdated(made_of(published), published.accepted)
    if not modules:
        return
    yield f"this checkout differs from the code of the published cells in {', '.join(modules)}"
    yield "before adding to them run one of them again, then advntk accept; the quickest of each method:"
    took = {of_fit(fit): fit.timing.get("wall_s", 0.0) for fit in published.of(FitFacts)}
    for one, _ in of_cells(published):
        took[of_fit(one)] += one.timing.get("wall_s", 0.0)
    targets: dict[Piece, list[str]] = {}
    for fit, path in _publishing.of_cells(suite):
        targets.setdefault(fit, []).append(path)
    for method in published.config.methods:
        mine = [piece for piece in targets if piece.method == method and piece in took]
        if mine:
            yield f"  {method}: {' '.join(targets[min(mine, key=took.__getitem__)])}"
