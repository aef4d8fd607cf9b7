# Training: kernel methods from a Gram matrix (fit), finite networks from the images (train).


rule fit:
    input:
        split=pattern(paths.SPLIT),
        arrays=pattern(paths.SPLIT).replace("split.json", "split.npz"),
        gram=pattern(paths.GRAM),
        facts=pattern(paths.GRAM).replace("gram.npy", "gram.json"),
    output:
        fit=pattern(paths.FIT),
        arrays=pattern(paths.FIT).replace("fit.json", "fit.npz"),
        curves=pattern(paths.FIT).replace("fit.json", "curves.csv"),
    log:
        f"{SUITE.root}/logs/fit/{{dataset}}.seed{{seed}}.{{architecture}}.{{method}}.{{trained_at}}.log",
    benchmark:
        f"{SUITE.root}/benchmarks/fit/{{dataset}}.seed{{seed}}.{{architecture}}.{{method}}.{{trained_at}}.jsonl"
    wildcard_constraints:
        method="|".join(KERNEL_METHODS) or NOTHING,
    group:
        JOBS.group("fit")
    conda:
        JOBS.environment("kernels")
    threads: JOBS.threads("fit")
    resources:
        gpu=lambda w: JOBS.gpus(w.method, fit=True),
        device=lambda w: JOBS.device(w.method, fit=True),
        kernel_mb=COMPUTE.memory_mb,
        mem_mb=JOBS.mem_mb("fit"),
        runtime=JOBS.runtime("fit"),
    params:
        options=method_options,
        architecture=kernel_of,
        threat=threat_arguments,
        images=training_images,
        engine=COMPUTE.kernel_engine,
        kind=lambda w: SUITE.method_kinds[w.method],
        code=JOBS.fit_code,
    shell:
        "python -m advntk fit --method {wildcards.method} --kind {params.kind} --options {params.options:q}"
        " --split {input.split:q}"
        " --gram {input.gram:q} --architecture {params.architecture:q} {params.threat}"
        " --images {params.images} --out {output.fit:q}"
        " --threads {threads} --device {resources.device} --engine {params.engine} --memory-mb {resources.kernel_mb}"
        " 2> {log:q}"


rule train:
    input:
        split=pattern(paths.SPLIT),
        arrays=pattern(paths.SPLIT).replace("split.json", "split.npz"),
        choice=JOBS.choice_input,
    output:
        fit=pattern(paths.FIT),
        arrays=pattern(paths.FIT).replace("fit.json", "fit.npz"),
        curves=pattern(paths.FIT).replace("fit.json", "curves.csv"),
    log:
        f"{SUITE.root}/logs/train/{{dataset}}.seed{{seed}}.{{architecture}}.{{method}}.{{trained_at}}.log",
    benchmark:
        f"{SUITE.root}/benchmarks/train/{{dataset}}.seed{{seed}}.{{architecture}}.{{method}}.{{trained_at}}.jsonl"
    wildcard_constraints:
        method="|".join(NETWORK_METHODS) or NOTHING,
    priority: 1  # long, and on few threads: the last one would leave other cores idle
    conda:
        JOBS.environment("networks")
    threads: JOBS.threads("train")
    resources:
        gpu=lambda w: JOBS.gpus(w.method),
        device=lambda w: JOBS.device(w.method),
        mem_mb=JOBS.mem_mb("train"),
        runtime=JOBS.runtime("train"),
    params:
        options=method_options,
        architecture=architecture_of,
        threat=threat_arguments,
        images=training_images,
        kind=lambda w: SUITE.method_kinds[w.method],
        choice=lambda w, input: (
            f"--choice {shlex.quote(input.choice[0])}" if input.choice else ""
        ),
        code=JOBS.fit_code,
    shell:
        "python -m advntk train --method {wildcards.method} --kind {params.kind} --options {params.options:q}"
        " --split {input.split:q}"
        " --architecture {params.architecture:q} {params.threat}"
        " --images {params.images} {params.choice} --out {output.fit:q}"
        " --threads {threads} --device {resources.device}"
        " 2> {log:q}"
