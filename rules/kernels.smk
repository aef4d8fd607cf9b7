# Gram matrices of infinitely wide networks: one a (dataset, seed, architecture), shared by methods, radii, attacks.


rule gram:
    input:
        split=pattern(paths.SPLIT),
        arrays=pattern(paths.SPLIT).replace("split.json", "split.npz"),
    output:
        gram=pattern(paths.GRAM),
        facts=pattern(paths.GRAM).replace("gram.npy", "gram.json"),
    log:
        f"{SUITE.root}/logs/gram/{{dataset}}.seed{{seed}}.{{architecture}}.log",
    benchmark:
        f"{SUITE.root}/benchmarks/gram/{{dataset}}.seed{{seed}}.{{architecture}}.jsonl"
    conda:
        "../envs/kernels.yaml"
    threads: kernel_threads
    resources:
        device=COMPUTE.device,
        kernel_mb=COMPUTE.memory_mb,
        mem_mb=kernel_mem_mb,
        runtime=kernel_minutes,
        disk_mb=lambda wildcards: int(jobs.gram_mb(n_opt(wildcards))) + 1,
    params:
        architecture=kernel_of,
        engine=COMPUTE.kernel_engine,
        code=lambda w: code_digest(
            "advntk.ingredients.grams",
            f"{suites.FAMILIES}.{SUITE.specs[w.architecture].family}",
        ),
    shell:
        "python -m advntk gram --split {input.split:q} --architecture {params.architecture:q} --out {output.gram:q}"
        " --threads {threads} --device {resources.device} --engine {params.engine} --memory-mb {resources.kernel_mb}"
        " 2> {log:q}"
