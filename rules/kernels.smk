# Gram matrices of infinitely wide networks: one a (dataset, seed, architecture), shared by methods, radii, attacks;
# computed by one job, or with compute.gram_parts by many and gathered.


rule gram:
    input:
        unpack(STEP.gram.inputs),
    output:
        **STEP.gram.outputs,
    log:
        STEP.gram.log,
    benchmark:
        STEP.gram.benchmark
    wildcard_constraints:
        dataset="|".join(JOBS.gathered(whole=True)) or NOTHING,
    conda:
        STEP.gram.environment
    threads: STEP.gram.threads
    resources:
        **STEP.gram.resources,
    params:
        flags=STEP.gram.flags,
        code=STEP.gram.code,
    shell:
        STEP.gram.command


rule gram_part:
    input:
        unpack(STEP.gram_part.inputs),
    output:
        part=temp(STEP.gram_part.outputs["part"]),
        facts=temp(STEP.gram_part.outputs["facts"]),
    log:
        STEP.gram_part.log,
    benchmark:
        STEP.gram_part.benchmark
    wildcard_constraints:
        part=r"\d+",
        parts=r"\d+",
    conda:
        STEP.gram_part.environment
    threads: STEP.gram_part.threads
    resources:
        **STEP.gram_part.resources,
    params:
        flags=STEP.gram_part.flags,
        code=STEP.gram_part.code,
    shell:
        STEP.gram_part.command


rule gram_gather:
    input:
        unpack(STEP.gram_gather.inputs),
    output:
        **STEP.gram_gather.outputs,
    log:
        STEP.gram_gather.log,
    benchmark:
        STEP.gram_gather.benchmark
    wildcard_constraints:
        dataset="|".join(JOBS.gathered(whole=False)) or NOTHING,
    conda:
        STEP.gram_gather.environment
    threads: STEP.gram_gather.threads
    resources:
        **STEP.gram_gather.resources,
    params:
        flags=STEP.gram_gather.flags,
        code=STEP.gram_gather.code,
    shell:
        STEP.gram_gather.command
