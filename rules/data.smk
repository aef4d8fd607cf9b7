# Datasets: fetched and decoded once, then split once a seed. Local: cluster nodes often have no network.


localrules:
    prepare,
    split,


rule prepare:
    input:
        ancient(users_file),  # its content is in the name of the prepared file
    output:
        pattern(paths.PREPARED),
    log:
        f"{SUITE.root}/logs/prepare/{{prepared}}.log",
    benchmark:
        f"{SUITE.root}/benchmarks/prepare/{{prepared}}.jsonl"
    wildcard_constraints:
        prepared="|".join(JOBS.prepared),
    conda:
        JOBS.environment("attacks")
    params:
        dataset=lambda w: JOBS.prepared[w.prepared],
        options=source_options,
        downloads=f"{SUITE.config.data}/downloads",
        code=lambda w: code_digest(
            "advntk.ingredients.images",
            f"{suites.DATASETS}.{JOBS.prepared[w.prepared]}",
        ),
    shell:
        "python -m advntk prepare --dataset {params.dataset} --options {params.options:q}"
        " --downloads {params.downloads:q} --out {output:q} 2> {log:q}"


rule split:
    input:
        JOBS.prepared_file,
    output:
        manifest=pattern(paths.SPLIT),
        arrays=pattern(paths.SPLIT).replace("split.json", "split.npz"),
    log:
        f"{SUITE.root}/logs/split/{{dataset}}.seed{{seed}}.log",
    benchmark:
        f"{SUITE.root}/benchmarks/split/{{dataset}}.seed{{seed}}.jsonl"
    conda:
        JOBS.environment("kernels")
    params:
        options=dataset_options,
        code=lambda w: code_digest(
            "advntk.ingredients.splits", f"{suites.DATASETS}.{w.dataset}"
        ),
    shell:
        "python -m advntk split --dataset {wildcards.dataset} --prepared {input:q} --options {params.options:q}"
        " --seed {wildcards.seed} --out {output.manifest:q} 2> {log:q}"
