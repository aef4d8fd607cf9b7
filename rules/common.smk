# The suite, checked before any job; its steps give the rules all but what Snakemake alone knows.

import os
import sys

from advntk import step, suite as suites
from advntk.foundation import files, paths
from advntk.foundation.errors import AdvntkError
from advntk import terminal
from advntk import workflow as jobs

try:
    SUITE = suites.resolve(config)
    JOBS = jobs.Jobs(SUITE, workflow.basedir)
    JOBS.check_deployment(workflow.deployment_settings.deployment_method)
    JOBS.check_data()
    files.require_writable(SUITE.root)
except AdvntkError as error:
    raise WorkflowError(f"config: {error.line()}") from None
except OSError as error:
    raise WorkflowError(
        f"{error.filename}: cannot write results ({error.strerror}); check permissions or 'results'"
    ) from None

jobs.put_first(workflow.basedir, workflow.deployment_settings.deployment_method)

if workflow.is_main_process and files.shadows("config.yaml", workflow.basedir):
    print(
        "note: config.yaml of this folder is read only where --configfile names it",
        file=sys.stderr,
    )

shown = workflow.output_settings
if workflow.is_main_process and not shown.dryrun:
    terminal.attach(
        JOBS,
        quiet=shown.quiet,
        own_blocks=shown.printshellcmds or shown.verbose,
    )

FIGURES, TABLES = step.figures(SUITE), step.tables(SUITE)
COMPUTE = SUITE.config.compute
KERNEL_METHODS = [
    name for name, entry in SUITE.methods.items() if entry.kind == "kernel"
]
NETWORK_METHODS = [
    name for name, entry in SUITE.methods.items() if entry.kind == "network"
]
STEP = JOBS.rules
NOTHING = "(?!)"  # a wildcard constraint that nothing meets


wildcard_constraints:
    dataset="|".join(SUITE.datasets),
    seed=r"\d+",
    architecture="|".join(SUITE.specs),
    attack="|".join(SUITE.attacks),
    chunk=r"\d+",
    sweep="|".join(SUITE.config.sweeps) or NOTHING,
    trained_at=rf"eps[\d.]+|{paths.ANY_RADIUS}",
    eps255=r"[\d.]+",
    experiment="|".join(SUITE.experiments) or NOTHING,
    unit=r"[\w.-]+",
