# The recipe of a network: chosen on val (search), and tried with twice the updates (check); both on seed 0.


rule search:
    input:
        unpack(STEP.search.inputs),
    output:
        **STEP.search.outputs,
    log:
        STEP.search.log,
    benchmark:
        STEP.search.benchmark
    wildcard_constraints:
        method="|".join(NETWORK_METHODS) or NOTHING,
    priority: 2  # all trainings of the recipe wait for it
    conda:
        STEP.search.environment
    threads: STEP.search.threads
    resources:
        **STEP.search.resources,
    params:
        flags=STEP.search.flags,
        code=STEP.search.code,
    shell:
        STEP.search.command


rule check:
    input:
        unpack(STEP.check.inputs),
    output:
        **STEP.check.outputs,
    log:
        STEP.check.log,
    benchmark:
        STEP.check.benchmark
    wildcard_constraints:
        method="|".join(NETWORK_METHODS) or NOTHING,
    priority: 1
    conda:
        STEP.check.environment
    threads: STEP.check.threads
    resources:
        **STEP.check.resources,
    params:
        flags=STEP.check.flags,
        code=STEP.check.code,
    shell:
        STEP.check.command
