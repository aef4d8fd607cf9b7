# Experiments on the theory: one job a unit; rules tabulate (claims) and plot (theory_NAME) report what they found.


rule experiment:
    input:
        unpack(STEP.experiment.inputs),
    output:
        **STEP.experiment.outputs,
    log:
        STEP.experiment.log,
    benchmark:
        STEP.experiment.benchmark
    conda:
        STEP.experiment.environment
    threads: STEP.experiment.threads
    resources:
        **STEP.experiment.resources,
    params:
        flags=STEP.experiment.flags,
        code=STEP.experiment.code,
    shell:
        STEP.experiment.command
