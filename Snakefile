# From images to tables and figures of clean and robust accuracy. What runs is in config.yaml and suites/*.yaml,
# how it runs in profiles/; this file is only the table of contents.

import os

from snakemake.utils import min_version

min_version("9.17")  # the first that brings pydantic


configfile: os.path.join(workflow.basedir, "config.yaml")  # beside this file, wherever it is started from


report: "report/workflow.rst"


include: "rules/common.smk"


container: COMPUTE.container


include: "rules/data.smk"
include: "rules/kernels.smk"
include: "rules/recipes.smk"
include: "rules/learning.smk"
include: "rules/evaluation.smk"
include: "rules/theory.smk"
include: "rules/telling.smk"


rule all:
    default_target: True
    input:
        expand(f"{SUITE.root}/tables/{{table}}.csv", table=TABLES),
        expand(f"{SUITE.root}/figures/{{figure}}.svg", figure=FIGURES),
        STEP.webpage.outputs["html"],


onsuccess:
    print(terminal.summary(JOBS))


onerror:
    print(
        "Finished results are kept: the same command runs what is missing.",
        file=sys.stderr,
    )
