# The recipe of a network: chosen on val (search), and tried with twice the updates (check); both on seed 0.


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
