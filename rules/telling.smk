# What was measured becomes tables and figures; its paths come from the suite file, nothing walks a folder.

from advntk.telling.labels import caption


localrules:
    expand,
    export,
    tabulate,
    plot,
    webpage,


rule expand:
    output:
        **STEP.expand.outputs,
    log:
        STEP.expand.log,
    priority: 2  # before anything else, so that what is finished can be published at any time
    conda:
        STEP.expand.environment
    params:
        flags=STEP.expand.flags,
        content=lambda w: JOBS.content,
        code=STEP.expand.code,
    shell:
        STEP.expand.command


rule tabulate:
    input:
        unpack(STEP.tabulate.inputs),
    output:
        csv=report(
            STEP.tabulate.outputs["csv"],
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}", "format": "csv"},
        ),
        md=STEP.tabulate.outputs["md"],
        tex=STEP.tabulate.outputs["tex"],
    log:
        STEP.tabulate.log,
    wildcard_constraints:
        table="|".join(TABLES),
    conda:
        STEP.tabulate.environment
    params:
        flags=STEP.tabulate.flags,
        code=STEP.tabulate.code,
    shell:
        STEP.tabulate.command


rule export:
    input:
        unpack(STEP.export.inputs),
    output:
        directory(STEP.export.outputs["folder"]),
    log:
        STEP.export.log,
    conda:
        STEP.export.environment
    params:
        flags=STEP.export.flags,
        code=STEP.export.code,
    shell:
        STEP.export.command


rule plot:
    input:
        unpack(STEP.plot.inputs),
    output:
        svg=report(
            STEP.plot.outputs["svg"],
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        png=STEP.plot.outputs["png"],
    log:
        STEP.plot.log,
    wildcard_constraints:
        figure="|".join(FIGURES),
    conda:
        STEP.plot.environment
    params:
        flags=STEP.plot.flags,
        code=STEP.plot.code,
        caption=lambda w: caption(w.figure),  # for the report
    shell:
        STEP.plot.command


rule webpage:
    input:
        unpack(STEP.webpage.inputs),
    output:
        html=report(
            STEP.webpage.outputs["html"],
            caption="../report/page.rst",
            category="Page",
            labels={"page": "index.html"},
        ),
    log:
        STEP.webpage.log,
    conda:
        STEP.webpage.environment
    params:
        flags=STEP.webpage.flags,
        code=STEP.webpage.code,
    shell:
        STEP.webpage.command
