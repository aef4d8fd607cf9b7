# Gram matrices of infinitely wide networks: one a (dataset, seed, architecture), shared by methods, radii, attacks;
# computed by one job, or with compute.gram_parts by many and gathered.


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
    wildcard_constraints:
        dataset="|".join(JOBS.gathered(whole=True)) or NOTHING,
    conda:
        JOBS.environment("kernels")
    threads: JOBS.threads("gram")
    resources:
        gpu=JOBS.gpus(),
        device=JOBS.device(),
        kernel_mb=COMPUTE.memory_mb,
        mem_mb=JOBS.mem_mb("gram"),
        runtime=JOBS.runtime("gram"),
        disk_mb=JOBS.disk_mb("gram"),
    params:
        architecture=kernel_of,
        images=SUITE.gram_images,
        engine=COMPUTE.kernel_engine,
        code=lambda w: JOBS.gram_code(w, "advntk.ingredients.grams"),
    shell:
        "python -m advntk gram --split {input.split:q} --architecture {params.architecture:q}"
        " --images {params.images} --out {output.gram:q}"
        " --threads {threads} --device {resources.device} --engine {params.engine} --memory-mb {resources.kernel_mb}"
        " 2> {log:q}"


rule gram_part:
    input:
        split=pattern(paths.SPLIT),
        arrays=pattern(paths.SPLIT).replace("split.json", "split.npz"),
    output:
        part=temp(pattern(paths.GRAM_PART)),
        facts=temp(pattern(paths.GRAM_PART).replace(".npy", ".json")),
    log:
        f"{SUITE.root}/logs/gram/{{dataset}}.seed{{seed}}.{{architecture}}.{{part}}of{{parts}}.log",
    benchmark:
        f"{SUITE.root}/benchmarks/gram/{{dataset}}.seed{{seed}}.{{architecture}}.{{part}}of{{parts}}.jsonl"
    wildcard_constraints:
        part=r"\d+",
        parts=r"\d+",
    conda:
        JOBS.environment("kernels")
    threads: JOBS.threads("gram_part")
    resources:
        gpu=JOBS.gpus(),
        device=JOBS.device(),
        kernel_mb=COMPUTE.memory_mb,
        mem_mb=JOBS.mem_mb("gram_part"),
        runtime=JOBS.runtime("gram_part"),
        disk_mb=JOBS.disk_mb("gram_part"),
    params:
        architecture=kernel_of,
        images=SUITE.gram_images,
        engine=COMPUTE.kernel_engine,
        code=lambda w: JOBS.gram_code(w, "advntk.ingredients.gram_parts"),
    shell:
        "python -m advntk gram --split {input.split:q} --architecture {params.architecture:q}"
        " --images {params.images} --out {output.part:q}"
        " --part {wildcards.part} --parts {wildcards.parts}"
        " --threads {threads} --device {resources.device} --engine {params.engine} --memory-mb {resources.kernel_mb}"
        " 2> {log:q}"


rule gram_gather:
    input:
        split=pattern(paths.SPLIT),
        arrays=pattern(paths.SPLIT).replace("split.json", "split.npz"),
        parts=JOBS.part_files,
        facts=JOBS.part_facts,
    output:
        gram=pattern(paths.GRAM),
        facts=pattern(paths.GRAM).replace("gram.npy", "gram.json"),
    log:
        f"{SUITE.root}/logs/gram_gather/{{dataset}}.seed{{seed}}.{{architecture}}.log",
    benchmark:
        f"{SUITE.root}/benchmarks/gram_gather/{{dataset}}.seed{{seed}}.{{architecture}}.jsonl"
    wildcard_constraints:
        dataset="|".join(JOBS.gathered(whole=False)) or NOTHING,
    conda:
        JOBS.environment("kernels")
    threads: JOBS.threads("gram_gather")
    resources:
        gpu=0,
        device="cpu",
        kernel_mb=COMPUTE.memory_mb,
        mem_mb=JOBS.mem_mb("gram_gather"),
        runtime=JOBS.runtime("gram_gather"),
        disk_mb=JOBS.disk_mb("gram_gather"),
    params:
        architecture=kernel_of,
        images=SUITE.gram_images,
        code=lambda w: JOBS.gram_code(w, "advntk.ingredients.gram_parts"),
    shell:
        "python -m advntk gather --split {input.split:q} --architecture {params.architecture:q} --images {params.images}"
        " --files {input.parts:q} --out {output.gram:q}"
        " --threads {threads} --device {resources.device} --memory-mb {resources.kernel_mb} 2> {log:q}"
