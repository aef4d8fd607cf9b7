# What was measured becomes tables and figures; its paths come from the suite file, nothing walks a folder.

from advntk.telling.captions import caption


localrules:
    expand,
    export,
    tabulate,
    plot,


rule expand:
    output:
        f"{SUITE.root}/suite.json",
    log:
        f"{SUITE.root}/logs/expand.log",
    priority: 2  # before anything else, so that what is finished can be published at any time
    conda:
        JOBS.environment("telling")
    params:
        config=json.dumps(SUITE.as_json()["config"]),
        code=code_digest("advntk.suite"),
    shell:
        "python -m advntk expand --config {params.config:q} --out {output:q}"
        " 2> {log:q}"


rule tabulate:
    input:
        suite=f"{SUITE.root}/suite.json",
        measured=SUITE.measured(),
    output:
        csv=report(
            f"{SUITE.root}/tables/{{table}}.csv",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}", "format": "csv"},
        ),
        md=f"{SUITE.root}/tables/{{table}}.md",
        tex=f"{SUITE.root}/tables/{{table}}.tex",
    log:
        f"{SUITE.root}/logs/tabulate/{{table}}.log",
    wildcard_constraints:
        table="|".join(TABLES),
    conda:
        JOBS.environment("telling")
    params:
        mixed=JOBS.mixed,
        code=JOBS.telling_code("advntk.telling.tables"),
    shell:
        "python -m advntk tabulate --suite {input.suite:q} --table {wildcards.table} --out {output.csv:q}"
        " {params.mixed} 2> {log:q}"


rule export:
    input:
        suite=f"{SUITE.root}/suite.json",
        measured=SUITE.measured(),
    output:
        directory(f"{SUITE.root}/robustbench"),
    log:
        f"{SUITE.root}/logs/export.log",
    conda:
        JOBS.environment("telling")
    params:
        mixed=JOBS.mixed,
        code=code_digest("advntk.telling.robustbench"),
    shell:
        "python -m advntk export --suite {input.suite:q} --out {output:q} {params.mixed}"
        " 2> {log:q}"


rule plot:
    input:
        suite=f"{SUITE.root}/suite.json",
        measured=SUITE.measured(),
    output:
        svg=report(
            f"{SUITE.root}/figures/{{figure}}.svg",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        png=f"{SUITE.root}/figures/{{figure}}.png",
    log:
        f"{SUITE.root}/logs/plot/{{figure}}.log",
    wildcard_constraints:
        figure="|".join(FIGURES),
    conda:
        JOBS.environment("telling")
    params:
        mixed=JOBS.mixed,
        code=JOBS.telling_code("advntk.telling.figures"),
        caption=lambda w: caption(w.figure),  # for the report
    shell:
        "python -m advntk plot --suite {input.suite:q} --figure {wildcards.figure} --out {output.svg:q}"
        " {params.mixed} 2> {log:q}"
