# The suite, checked before any job, and the only functions of the workflow.

import json
import os
import shlex
import sys

from advntk import suite as suites
from advntk.foundation import files, paths
from advntk.foundation.errors import AdvntkError
from advntk.foundation.provenance import code_digest
from advntk.ingredients.images import SplitSizes
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

FIGURES, TABLES = SUITE.figures(), SUITE.tables()
COMPUTE = SUITE.config.compute
KERNEL_METHODS = [
    name for name, entry in SUITE.methods.items() if entry.kind == "kernel"
]
NETWORK_METHODS = [
    name for name, entry in SUITE.methods.items() if entry.kind == "network"
]
pattern = JOBS.pattern
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


def as_json(model):
    return json.dumps(
        model if isinstance(model, dict) else model.model_dump(mode="json")
    )


def dataset_options(wildcards):
    return as_json(SUITE.datasets[wildcards.dataset][1])


def source_options(wildcards):
    """Options that say where a dataset comes from, without the sizes of its splits."""
    options = SUITE.datasets[JOBS.prepared[wildcards.prepared]][1].model_dump(
        mode="json"
    )
    return as_json({**options, **SplitSizes(n_opt=2, n_val=1).model_dump(mode="json")})


def kernel_of(wildcards):
    """The architecture without its width, which no kernel depends on."""
    return as_json(SUITE.specs[wildcards.architecture].kernel_identity)


def architecture_of(wildcards):
    return as_json(SUITE.specs[wildcards.architecture])


def method_options(wildcards):
    return as_json(
        SUITE.options[wildcards.dataset, wildcards.architecture, wildcards.method]
    )


def threat_arguments(wildcards):
    radius = wildcards.trained_at.removeprefix("eps")
    return (
        ""
        if radius == paths.ANY_RADIUS.removeprefix("eps")
        else f"--norm {SUITE.config.norm} --eps255 {radius}"
    )


def training_images(wildcards):
    return SUITE.images_of(wildcards.method)


def users_file(wildcards):
    """The file that a user's own dataset comes from, if it is one."""
    path = getattr(SUITE.datasets[JOBS.prepared[wildcards.prepared]][1], "path", None)
    return [path] if path else []


def engine_of(wildcards):
    """Finite networks use no kernel: choosing another engine must not evaluate them again."""
    return COMPUTE.kernel_engine if wildcards.method in KERNEL_METHODS else "auto"
