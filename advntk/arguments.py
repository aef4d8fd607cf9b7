"""What every verb of the command line takes."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from advntk import __version__
from advntk.foundation import threads
from advntk.foundation.argument_types import at_least
from advntk.planning.publishing import add_accept, add_missing, add_publish
from advntk.planning.verbs import add_costs, add_plan

EPILOG = """\
a cell by hand, from data to accuracy:
  advntk prepare  --dataset digits --out work/digits.npz
  advntk split    --dataset digits --prepared work/digits.npz --seed 0 --out work/split.json
  advntk gram     --split work/split.json --architecture '{"family": "mlp", "depth": 3}' --out work/gram.npy
  advntk fit      --split work/split.json --architecture '{"family": "mlp", "depth": 3}' --gram work/gram.npy \\
                  --method advntk --options '{"steps": 20}' --eps255 16 --out work/advntk/fit.json
  advntk evaluate --fit work/advntk --attack pgd --eps255 16 --out work/pgd.json
and the strongest attack there is; a killed run resumes:
  advntk evaluate --fit work/advntk --attack autoattack --eps255 16 --out work/autoattack.json
"""
MIXED = "take results of different code or data too; tables and figures then say so"


def parser(functions: Mapping[str, Callable[[argparse.Namespace], int | None]]) -> argparse.ArgumentParser:
    """All verbs and their options; a verb's summary is the first line of its function's docstring."""
    whole = argparse.ArgumentParser(
        prog="advntk",
        description="Benchmark suite for the adversarial robustness of wide networks.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", action="version", version=f"advntk {__version__}")
    verbs = whole.add_subparsers(dest="verb", required=True, metavar="VERB")

    compute = argparse.ArgumentParser(add_help=False)
    compute.add_argument(
        "--threads", type=at_least(1), default=threads.available(), help="threads (default: all cores)"
    )
    compute.add_argument("--device", choices=["auto", "cpu", "gpu"], default="auto", help="where to compute")
    compute.add_argument(
        "--engine", choices=["auto", "numba", "neural_tangents"], default="auto", help="how kernels are computed"
    )
    compute.add_argument("--memory-mb", type=at_least(1), default=2000, help="bound of kernel temporaries, MiB")
    threat = argparse.ArgumentParser(add_help=False)
    threat.add_argument("--norm", choices=["linf", "l2", "l1"], default="linf", help="norm of the threat model")
    threat.add_argument("--eps255", type=float, help="radius, in 1/255 of the pixel range")
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "--options",
        default="{}",
        help="options as JSON, keys as in config.yaml (what is left out: defaults of the code)",
    )

    suite = argparse.ArgumentParser(add_help=False)
    suite.add_argument("--suite", type=Path, required=True, help="suite.json, of results or published")
    suite.add_argument("--allow-mixed", action="store_true", help=MIXED)

    def verb(name: str, parents: Sequence[argparse.ArgumentParser] = ()) -> argparse.ArgumentParser:
        summary = (functions[name].__doc__ or "").splitlines()[0]
        sub = verbs.add_parser(name, help=summary, description=summary, parents=list(parents))
        sub.set_defaults(run=functions[name])
        return sub

    sub = verb("list")
    sub.add_argument(
        "kind", nargs="?", default="", help="datasets, families, methods, attacks, training_losses … (none: all)"
    )
    sub.add_argument("name", nargs="?", default="", help="one of them: its options, as in config.yaml")
    sub = verb("prepare", [options])
    sub.add_argument("--dataset", required=True, help="registry entry, such as digits")
    sub.add_argument("--downloads", type=Path, default=Path("data/downloads"), help="folder for original files")
    sub.add_argument("--out", type=Path, required=True, help="npz to write")
    sub = verb("split", [options])
    sub.add_argument("--dataset", required=True, help="registry entry, for its sizes")
    sub.add_argument("--prepared", type=Path, required=True, help="npz written by prepare")
    sub.add_argument("--seed", type=at_least(0), default=0, help="of the split and of everything trained on it")
    sub.add_argument("--out", type=Path, required=True, help="split.json to write; split.npz is written beside it")
    sub = verb("gram", [compute])
    _add_problem(sub)
    sub.add_argument(
        "--part", type=at_least(0), help="which part, from 0; parts may be computed anywhere, in any order"
    )
    sub.add_argument(
        "--parts", type=at_least(1), help="into how many parts the matrix is cut; gather puts them together"
    )
    sub.add_argument("--out", type=Path, required=True, help="npy to write; provenance is written beside it, as .json")
    sub = verb("gather", [compute])
    _add_problem(sub)
    sub.add_argument(
        "--files", type=Path, nargs="+", required=True, help="all parts that gram wrote, their .json beside them"
    )
    sub.add_argument("--out", type=Path, required=True, help="npy to write, n×n; takes twice the disk of the parts")
    for name in ("fit", "train"):
        sub = verb(name, [compute, threat, options])
        _add_problem(sub, images=None)
        what = "kernel method" if name == "fit" else "network method"
        sub.add_argument("--method", required=True, help=f"name of the {what} in tables")
        sub.add_argument("--kind", help="registry entry, where it is not the name")
        if name == "fit":
            sub.add_argument("--gram", type=Path, required=True, help="Gram matrix of the same split and architecture")
        sub.add_argument("--out", type=Path, required=True, help="fit.json to write; fit.npz and curves.csv beside it")
        if name == "train":
            sub.add_argument("--choice", type=Path, help="what 'search' chose, where the options list candidates")
    sub = verb("search", [compute, threat, options])
    _add_problem(sub, images=None)
    sub.add_argument("--method", required=True, help="name of the network method in tables")
    sub.add_argument("--kind", help="registry entry, where it is not the name")
    sub.add_argument("--out", type=Path, required=True, help="json to write")
    sub = verb("check", [compute])
    sub.add_argument("--fit", type=Path, required=True, help="folder of the fit, of a network method")
    sub.add_argument("--out", type=Path, required=True, help="json to write")
    attacking = [compute, threat, options, _attacking()]
    sub = verb("attack", attacking)
    sub.add_argument("--chunk", type=int, default=0, help="which chunk, from 0; how many there are is an option")
    sub.add_argument("--chunks", type=Path, required=True, help="folder of the chunks; this one is NUMBER.npz")
    sub = verb("evaluate", attacking)
    sub.add_argument("--keep-images", action="store_true", help="keep the perturbed images, for the verb transfer")
    sub.add_argument("--out", type=Path, required=True, help="record (json) to write; outcomes (npz) go beside it")
    sub = verb("sweep", attacking)
    sub.add_argument("--sweep", choices=["radius", "steps", "restarts"], required=True, help="what is varied")
    sub.add_argument("--values", type=float, nargs="+", required=True, help="rising; radius in 1/255")
    sub.add_argument("--out", type=Path, required=True, help="json to write; outcomes (npz) go beside it")
    sub = verb("transfer", [compute])
    sub.add_argument("--records", type=Path, nargs="+", required=True, help="of evaluations that kept their images")
    sub.add_argument("--fits", type=Path, nargs="+", required=True, help="folder of each record's fit, in this order")
    sub.add_argument("--out", type=Path, required=True, help="json to write; outcomes (npz) go beside it")
    sub = verb("experiment", [compute, options])
    sub.add_argument("--experiment", required=True, help="registry entry, a module of advntk/theory/experiments")
    sub.add_argument("--unit", required=True, help="which part of it, by name")
    sub.add_argument("--split", type=Path, help="split.json, for a unit that needs one")
    sub.add_argument("--out", type=Path, required=True, help="finding (json) to write")
    sub = verb("expand")
    sub.add_argument("--config", required=True, help="the whole configuration as JSON")
    sub.add_argument("--out", type=Path, required=True, help="suite.json to write")
    sub = verb("tabulate", [suite])
    sub.add_argument("--table", default="robust_accuracy", help="such as methods, robust_accuracy, comparisons or cost")
    sub.add_argument("--out", type=Path, required=True, help="csv to write; .md and .tex go beside it")
    sub = verb("plot", [suite])
    sub.add_argument("--figure", required=True, help="such as curves, depth, radius or strength")
    sub.add_argument("--out", type=Path, required=True, help="svg to write; a png is written beside it")
    sub = verb("export", [suite])
    sub.add_argument("--out", type=Path, required=True, help="folder to write to")
    add_publish(verb("publish", [suite]))
    add_missing(verb("missing"))
    add_accept(verb("accept"))
    sub = verb("page")
    sub.add_argument("--reference", type=Path, required=True, help="folder of published suites, with index.json")
    sub.add_argument("--out", type=Path, required=True, help="page (md) to write; figures/results_*.png go beside it")
    sub.add_argument("--allow-mixed", action="store_true", help=MIXED)
    sub = verb("theory-page", [suite])
    sub.add_argument("--out", type=Path, required=True, help="page (md) to write; figures/theory_*.png go beside it")
    sub = verb("provenance")
    sub.add_argument(
        "result",
        type=Path,
        help="record, sweep, transfer, fit (file or folder), gram.json, split.json, prepared npz, suite.json",
    )
    sub.add_argument("--json", action="store_true", help="machine-readable")

    add_plan(verb("plan"))
    add_costs(verb("costs"))
    return whole


def _attacking() -> argparse.ArgumentParser:
    """What all verbs that attack a fit have in common."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--fit", type=Path, required=True, help="folder of the fit")
    parser.add_argument("--attack", required=True, help="name of the attack in tables")
    parser.add_argument("--kind", help="registry entry, where it is not the name")
    return parser


def _add_problem(parser: argparse.ArgumentParser, images: str | None = "opt") -> None:
    parser.add_argument("--split", type=Path, required=True, help="split.json")
    parser.add_argument("--architecture", required=True, help="""JSON, like '{"family": "mlp", "depth": 3}'""")
    told = f"training images: opt, or all (opt, then val); default: {images or 'those of the method'}"
    parser.add_argument("--images", choices=["opt", "all"], default=images, help=told)
