# Attacks on fits: records of clean and robust accuracy, sweeps over an attack's strength, transfer between predictors,
# certificates.


rule attack:
    input:
        unpack(STEP.attack.inputs),
    output:
        **STEP.attack.outputs,
    log:
        STEP.attack.log,
    benchmark:
        STEP.attack.benchmark
    group:
        STEP.attack.group
    conda:
        STEP.attack.environment
    threads: STEP.attack.threads
    resources:
        **STEP.attack.resources,
    params:
        flags=STEP.attack.flags,
        code=STEP.attack.code,
    shell:
        STEP.attack.command


rule evaluate:
    input:
        unpack(STEP.evaluate.inputs),
    output:
        **STEP.evaluate.outputs,
    log:
        STEP.evaluate.log,
    benchmark:
        STEP.evaluate.benchmark
    group:
        STEP.evaluate.group
    conda:
        STEP.evaluate.environment
    threads: STEP.evaluate.threads
    resources:
        **STEP.evaluate.resources,
    params:
        flags=STEP.evaluate.flags,
        code=STEP.evaluate.code,
    shell:
        STEP.evaluate.command


rule sweep:
    input:
        unpack(STEP.sweep.inputs),
    output:
        **STEP.sweep.outputs,
    log:
        STEP.sweep.log,
    benchmark:
        STEP.sweep.benchmark
    group:
        STEP.sweep.group
    conda:
        STEP.sweep.environment
    threads: STEP.sweep.threads
    resources:
        **STEP.sweep.resources,
    params:
        flags=STEP.sweep.flags,
        code=STEP.sweep.code,
    shell:
        STEP.sweep.command


rule transfer:
    input:
        unpack(STEP.transfer.inputs),
    output:
        **STEP.transfer.outputs,
    log:
        STEP.transfer.log,
    benchmark:
        STEP.transfer.benchmark
    conda:
        STEP.transfer.environment
    threads: STEP.transfer.threads
    resources:
        **STEP.transfer.resources,
    params:
        flags=STEP.transfer.flags,
        code=STEP.transfer.code,
    shell:
        STEP.transfer.command


rule certify:
    input:
        unpack(STEP.certify.inputs),
    output:
        **STEP.certify.outputs,
    log:
        STEP.certify.log,
    benchmark:
        STEP.certify.benchmark
    conda:
        STEP.certify.environment
    threads: STEP.certify.threads
    resources:
        **STEP.certify.resources,
    params:
        flags=STEP.certify.flags,
        code=STEP.certify.code,
    shell:
        STEP.certify.command
