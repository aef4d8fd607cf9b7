# Attacks on fits: records of clean and robust accuracy, sweeps over an attack's strength, transfer between predictors.


rule attack:
    input:
        unpack(JOBS.fit_inputs),
    output:
        pattern(paths.CHUNK),
    log:
        f"{SUITE.root}/logs/attack/{{dataset}}.seed{{seed}}.{{architecture}}.{{method}}.eps{{eps255}}.{{attack}}.{{chunk}}.log",
    benchmark:
        f"{SUITE.root}/benchmarks/attack/{{dataset}}.seed{{seed}}.{{architecture}}.{{method}}.eps{{eps255}}.{{attack}}.{{chunk}}.jsonl"
    group:
        JOBS.group("attack")
    conda:
        JOBS.environment("attacks")
    threads: JOBS.threads("attack")
    resources:
        gpu=lambda w: JOBS.gpus(w.method),
        device=lambda w: JOBS.device(w.method),
        kernel_mb=COMPUTE.memory_mb,
        mem_mb=JOBS.mem_mb("attack"),
        runtime=JOBS.runtime("attack"),
    params:
        folder=JOBS.fit_folder,
        chunks=lambda w, output: os.path.dirname(output[0]),
        kind=lambda w: SUITE.attacks[w.attack].kind,
        options=lambda w: as_json(SUITE.attacks[w.attack].options),
        norm=SUITE.config.norm,
        engine=engine_of,
        code=lambda w: JOBS.attack_code(w, "advntk.measuring.chunks"),
    shell:
        "python -m advntk attack --fit {params.folder:q} --attack {wildcards.attack} --kind {params.kind}"
        " --options {params.options:q} --norm {params.norm} --eps255 {wildcards.eps255}"
        " --chunk {wildcards.chunk} --chunks {params.chunks:q}"
        " --threads {threads} --device {resources.device} --engine {params.engine} --memory-mb {resources.kernel_mb}"
        " 2> {log:q}"


rule evaluate:
    input:
        unpack(JOBS.fit_inputs),
        chunks=JOBS.chunk_files,
    output:
        record=pattern(paths.RECORD),
        outcomes=pattern(paths.RECORD).replace(".json", ".npz"),
    log:
        f"{SUITE.root}/logs/evaluate/{{dataset}}.seed{{seed}}.{{architecture}}.{{method}}.eps{{eps255}}.{{attack}}.log",
    benchmark:
        f"{SUITE.root}/benchmarks/evaluate/{{dataset}}.seed{{seed}}.{{architecture}}.{{method}}.eps{{eps255}}.{{attack}}.jsonl"
    group:
        JOBS.group("evaluate")
    conda:
        JOBS.environment("attacks")
    threads: JOBS.threads("evaluate")
    resources:
        gpu=lambda w: JOBS.gpus(w.method),
        device=lambda w: JOBS.device(w.method),
        kernel_mb=COMPUTE.memory_mb,
        mem_mb=JOBS.mem_mb("evaluate"),
        runtime=JOBS.runtime("evaluate"),
    params:
        folder=JOBS.fit_folder,
        kind=lambda w: SUITE.attacks[w.attack].kind,
        options=lambda w: as_json(SUITE.attacks[w.attack].options),
        norm=SUITE.config.norm,
        engine=engine_of,
        keep=lambda w: "--keep-images" if w.attack in SUITE.config.transfer else "",
        code=lambda w: JOBS.attack_code(w, "advntk.measuring.evaluate"),
    shell:
        "python -m advntk evaluate --fit {params.folder:q} --attack {wildcards.attack} --kind {params.kind}"
        " --options {params.options:q} --norm {params.norm} --eps255 {wildcards.eps255} --out {output.record:q}"
        " {params.keep}"
        " --threads {threads} --device {resources.device} --engine {params.engine} --memory-mb {resources.kernel_mb}"
        " 2> {log:q}"


rule sweep:
    input:
        unpack(JOBS.fit_inputs),
    output:
        sweep=pattern(paths.SWEEP),
        outcomes=pattern(paths.SWEEP).replace(".json", ".npz"),
    log:
        f"{SUITE.root}/logs/sweep/{{dataset}}.seed{{seed}}.{{architecture}}.{{method}}.eps{{eps255}}.{{sweep}}.log",
    benchmark:
        f"{SUITE.root}/benchmarks/sweep/{{dataset}}.seed{{seed}}.{{architecture}}.{{method}}.eps{{eps255}}.{{sweep}}.jsonl"
    group:
        JOBS.group("sweep")
    conda:
        JOBS.environment("attacks")
    threads: JOBS.threads("sweep")
    resources:
        gpu=lambda w: JOBS.gpus(w.method),
        device=lambda w: JOBS.device(w.method),
        kernel_mb=COMPUTE.memory_mb,
        mem_mb=JOBS.mem_mb("sweep"),
        runtime=JOBS.runtime("sweep"),
    params:
        folder=JOBS.fit_folder,
        attack=lambda w: SUITE.sweep_attacks[w.sweep].name,
        kind=lambda w: SUITE.sweep_attacks[w.sweep].kind,
        options=lambda w: as_json(SUITE.sweep_attacks[w.sweep].options),
        values=lambda w: SUITE.config.sweeps[w.sweep].values,
        norm=SUITE.config.norm,
        engine=engine_of,
        code=lambda w: JOBS.attack_code(w, "advntk.measuring.sweep"),
    shell:
        "python -m advntk sweep --fit {params.folder:q} --sweep {wildcards.sweep} --values {params.values}"
        " --attack {params.attack} --kind {params.kind} --options {params.options:q}"
        " --norm {params.norm} --eps255 {wildcards.eps255} --out {output.sweep:q}"
        " --threads {threads} --device {resources.device} --engine {params.engine} --memory-mb {resources.kernel_mb}"
        " 2> {log:q}"


rule transfer:
    input:
        fits=lambda w: [f"{folder}/fit.json" for folder in JOBS.shown_fits(w)],
        arrays=lambda w: [f"{folder}/fit.npz" for folder in JOBS.shown_fits(w)],
        records=JOBS.shown_records,
        images=lambda w: [
            path.replace(".json", ".npz") for path in JOBS.shown_records(w)
        ],
    output:
        transfer=pattern(paths.TRANSFER),
        outcomes=pattern(paths.TRANSFER).replace(".json", ".npz"),
    log:
        f"{SUITE.root}/logs/transfer/{{dataset}}.seed{{seed}}.eps{{eps255}}.{{attack}}.log",
    benchmark:
        f"{SUITE.root}/benchmarks/transfer/{{dataset}}.seed{{seed}}.eps{{eps255}}.{{attack}}.jsonl"
    conda:
        JOBS.environment("attacks")
    threads: JOBS.threads("transfer")
    resources:
        gpu=JOBS.gpus(*SUITE.methods),
        device=JOBS.device(*SUITE.methods),
        kernel_mb=COMPUTE.memory_mb,
        mem_mb=JOBS.mem_mb("transfer"),
        runtime=JOBS.runtime("transfer"),
    params:
        folders=JOBS.shown_fits,
        engine=COMPUTE.kernel_engine,
        code=lambda w: JOBS.predictors_code("advntk.measuring.transfer"),
    shell:
        "python -m advntk transfer --records {input.records:q} --fits {params.folders:q} --out {output.transfer:q}"
        " --threads {threads} --device {resources.device} --engine {params.engine} --memory-mb {resources.kernel_mb}"
        " 2> {log:q}"
