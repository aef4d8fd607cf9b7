# Training: kernel methods from a Gram matrix (fit), finite networks from the images (train).


rule fit:
    input:
        unpack(STEP.fit.inputs),
    output:
        **STEP.fit.outputs,
    log:
        STEP.fit.log,
    benchmark:
        STEP.fit.benchmark
    wildcard_constraints:
        method="|".join(KERNEL_METHODS) or NOTHING,
    group:
        STEP.fit.group
    conda:
        STEP.fit.environment
    threads: STEP.fit.threads
    resources:
        **STEP.fit.resources,
    params:
        flags=STEP.fit.flags,
        code=STEP.fit.code,
    shell:
        STEP.fit.command


rule train:
    input:
        unpack(STEP.train.inputs),
    output:
        **STEP.train.outputs,
    log:
        STEP.train.log,
    benchmark:
        STEP.train.benchmark
    wildcard_constraints:
        method="|".join(NETWORK_METHODS) or NOTHING,
    priority: 1  # long, and on few threads: the last one would leave other cores idle
    conda:
        STEP.train.environment
    threads: STEP.train.threads
    resources:
        **STEP.train.resources,
    params:
        flags=STEP.train.flags,
        code=STEP.train.code,
    shell:
        STEP.train.command
