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


rule search:
    input:
        split=pattern(paths.SPLIT).replace("{seed}", "0"),
        arrays=pattern(paths.SPLIT)
        .replace("{seed}", "0")
        .replace("split.json", "split.npz"),
    output:
        pattern(paths.CHOICE),
    log:
        f"{SUITE.root}/logs/search/{{dataset}}.{{architecture}}.{{method}}.{{trained_at}}.log",
    benchmark:
        f"{SUITE.root}/benchmarks/search/{{dataset}}.{{architecture}}.{{method}}.{{trained_at}}.jsonl"
    wildcard_constraints:
        method="|".join(NETWORK_METHODS) or NOTHING,
    priority: 2  # all trainings of the recipe wait for it
    conda:
        JOBS.environment("networks")
    threads: JOBS.threads("search")
    resources:
        gpu=lambda w: JOBS.gpus(w.method),
        device=lambda w: JOBS.device(w.method),
        mem_mb=JOBS.mem_mb("search"),
        runtime=JOBS.runtime("search"),
    params:
        options=method_options,
        architecture=architecture_of,
        threat=threat_arguments,
        kind=lambda w: SUITE.method_kinds[w.method],
        code=lambda w: JOBS.fit_code(w, "advntk.learning.recipes"),
    shell:
        "python -m advntk search --method {wildcards.method} --kind {params.kind} --options {params.options:q}"
        " --split {input.split:q}"
        " --architecture {params.architecture:q} {params.threat} --out {output:q}"
        " --threads {threads} --device {resources.device}"
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
        choice=lambda w, input: f"--choice {shlex.quote(input.choice[0])}"
        if input.choice
        else "",
        code=JOBS.fit_code,
    shell:
        "python -m advntk train --method {wildcards.method} --kind {params.kind} --options {params.options:q}"
        " --split {input.split:q}"
        " --architecture {params.architecture:q} {params.threat}"
        " --images {params.images} {params.choice} --out {output.fit:q}"
        " --threads {threads} --device {resources.device}"
        " 2> {log:q}"


rule check:
    input:
        fit=pattern(paths.FIT).replace("{seed}", "0"),
        arrays=pattern(paths.FIT).replace("{seed}", "0").replace("fit.json", "fit.npz"),
        curves=pattern(paths.FIT)
        .replace("{seed}", "0")
        .replace("fit.json", "curves.csv"),
        split=pattern(paths.SPLIT).replace("{seed}", "0"),
        images=pattern(paths.SPLIT)
        .replace("{seed}", "0")
        .replace("split.json", "split.npz"),
    output:
        pattern(paths.CHECK),
    log:
        f"{SUITE.root}/logs/check/{{dataset}}.{{architecture}}.{{method}}.{{trained_at}}.log",
    benchmark:
        f"{SUITE.root}/benchmarks/check/{{dataset}}.{{architecture}}.{{method}}.{{trained_at}}.jsonl"
    wildcard_constraints:
        method="|".join(NETWORK_METHODS) or NOTHING,
    priority: 1
    conda:
        JOBS.environment("networks")
    threads: JOBS.threads("check")
    resources:
        gpu=lambda w: JOBS.gpus(w.method),
        device=lambda w: JOBS.device(w.method),
        mem_mb=JOBS.mem_mb("check"),
        runtime=JOBS.runtime("check"),
    params:
        folder=lambda w, input: os.path.dirname(input.fit),
        code=lambda w: JOBS.fit_code(w, "advntk.learning.recipes"),
    shell:
        "python -m advntk check --fit {params.folder:q} --out {output:q}"
        " --threads {threads} --device {resources.device}"
        " 2> {log:q}"
