# One record a cell and attack: clean and robust accuracy of all checkpoints of a fit.


rule evaluate:
    input:
        fit=lambda w: f"{fit_folder(w)}/fit.json",
        arrays=lambda w: f"{fit_folder(w)}/fit.npz",
        split=pattern(paths.SPLIT),
        images=pattern(paths.SPLIT).replace("split.json", "split.npz"),
    output:
        record=pattern(paths.RECORD),
        outcomes=pattern(paths.RECORD).replace(".json", ".npz"),
    log:
        f"{SUITE.root}/logs/evaluate/{{dataset}}.seed{{seed}}.{{architecture}}.{{method}}.eps{{eps255}}.{{attack}}.log",
    benchmark:
        f"{SUITE.root}/benchmarks/evaluate/{{dataset}}.seed{{seed}}.{{architecture}}.{{method}}.eps{{eps255}}.{{attack}}.jsonl"
    conda:
        "../envs/attacks.yaml"
    threads: kernel_threads
    resources:
        device=COMPUTE.device,
        kernel_mb=COMPUTE.memory_mb,
        mem_mb=evaluate_mem_mb,
        runtime=kernel_minutes,
    params:
        folder=fit_folder,
        kind=lambda w: SUITE.attacks[w.attack].kind,
        options=lambda w: as_json(SUITE.attacks[w.attack].options),
        norm=SUITE.config.norm,
        engine=engine_of,
        code=lambda w: code_digest(
            "advntk.measuring.evaluate",
            f"{suites.METHODS}.{w.method}",
            f"{suites.FAMILIES}.{SUITE.specs[w.architecture].family}",
            f"{suites.ATTACKS}.{SUITE.attacks[w.attack].kind}",
        ),
    shell:
        "python -m advntk evaluate --fit {params.folder:q} --attack {wildcards.attack} --kind {params.kind}"
        " --options {params.options:q} --norm {params.norm} --eps255 {wildcards.eps255} --out {output.record:q}"
        " --threads {threads} --device {resources.device} --engine {params.engine} --memory-mb {resources.kernel_mb}"
        " 2> {log:q}"
