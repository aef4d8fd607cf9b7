# Experiments on the theory: one job a unit; rules tabulate (claims) and plot (theory_NAME) report what they found.


rule experiment:
    input:
        unpack(JOBS.experiment_inputs),
    output:
        pattern(paths.FINDING),
    log:
        f"{SUITE.root}/logs/experiment/{{experiment}}.{{unit}}.log",
    benchmark:
        f"{SUITE.root}/benchmarks/experiment/{{experiment}}.{{unit}}.jsonl"
    conda:
        JOBS.environment("kernels")
    threads: JOBS.threads("experiment")
    resources:
        gpu=JOBS.gpus(),
        device=JOBS.device(),
        kernel_mb=COMPUTE.memory_mb,
        mem_mb=JOBS.mem_mb("experiment"),
        runtime=JOBS.runtime("experiment"),
    params:
        split=lambda w, input: (
            f"--split {shlex.quote(input.split)}" if "split" in input.keys() else ""
        ),
        options=lambda w: as_json(SUITE.experiments[w.experiment][1]),
        engine=COMPUTE.kernel_engine,
        code=lambda w: code_digest(
            "advntk.theory.experiment", f"{suites.EXPERIMENTS}.{w.experiment}"
        ),
    shell:
        "python -m advntk experiment --experiment {wildcards.experiment} --unit {wildcards.unit}"
        " --options {params.options:q} {params.split} --out {output:q}"
        " --threads {threads} --device {resources.device} --engine {params.engine} --memory-mb {resources.kernel_mb}"
        " 2> {log:q}"
