# Datasets: fetched and decoded once, then split once a seed. Local: cluster nodes often have no network.


localrules:
    prepare,
    split,


rule prepare:
    input:
        ancient(lambda w: STEP.prepare.inputs(w)["file"]),  # its content is in the name of the prepared file
    output:
        **STEP.prepare.outputs,
    log:
        STEP.prepare.log,
    benchmark:
        STEP.prepare.benchmark
    wildcard_constraints:
        prepared="|".join(JOBS.prepared),
    conda:
        STEP.prepare.environment
    params:
        flags=STEP.prepare.flags,
        code=STEP.prepare.code,
    shell:
        STEP.prepare.command


rule split:
    input:
        unpack(STEP.split.inputs),
    output:
        **STEP.split.outputs,
    log:
        STEP.split.log,
    benchmark:
        STEP.split.benchmark
    conda:
        STEP.split.environment
    params:
        flags=STEP.split.flags,
        code=STEP.split.code,
    shell:
        STEP.split.command
