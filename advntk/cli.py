"""Floor 6: the command line, one verb per workflow rule; every verb runs without Snakemake too.

Libraries are imported inside the verbs: threads must be limited before they load, and ``--help`` must be quick.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advntk import __version__
from advntk.foundation import threads
from advntk.foundation.errors import AdvntkError, ConfigError

if TYPE_CHECKING:
    from advntk.foundation.architecture import Architecture
    from advntk.foundation.options import Compute
    from advntk.foundation.threat import ThreatModel

EPILOG = """\
a cell by hand, from data to accuracy:
  advntk prepare  --dataset digits --out work/digits.npz
  advntk split    --dataset digits --prepared work/digits.npz --seed 0 --out work/split.json
  advntk gram     --split work/split.json --architecture '{"family": "mlp", "depth": 3}' --out work/gram.npy
  advntk fit      --split work/split.json --architecture '{"family": "mlp", "depth": 3}' --gram work/gram.npy \\
                  --method advntk --options '{"steps": 20}' --eps255 16 --out work/advntk/fit.json
  advntk evaluate --fit work/advntk --attack pgd --eps255 16 --out work/pgd.json
"""


def _mapping(text: str) -> dict[str, Any]:
    """A JSON object from the command line.

    Returns:
        Its content.

    Raises:
        ConfigError: not a JSON object.
    """
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"not JSON ({error})", where=text, remedy="""quote it, like '{"depth": 3}'""") from error
    if not isinstance(content, dict):
        raise ConfigError("not a JSON object", where=text, remedy="""give an object, like '{"depth": 3}'""")
    return content


def _architecture(text: str) -> Architecture:
    from advntk.foundation.architecture import Architecture
    from advntk.foundation.options import validated

    return validated(Architecture, _mapping(text), "architecture")


def _compute(args: argparse.Namespace) -> Compute:
    from advntk.foundation.options import Compute

    return Compute(device=args.device, kernel_engine=args.engine, memory_mb=args.memory_mb)


def _threat(args: argparse.Namespace) -> ThreatModel:
    from advntk.foundation.options import validated
    from advntk.foundation.threat import ThreatModel

    return validated(ThreatModel, {"norm": args.norm, "eps255": args.eps255 or 0.0}, "threat")


def _whole(text: str) -> int:
    """A number of at least one, for argparse."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {text}")
    return number


def _seed(text: str) -> int:
    """A number of at least zero, for argparse."""
    if (number := int(text)) < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, not {text}")
    return number


def _entry(package: str, name: str, options: dict[str, Any]) -> tuple[Any, Any]:
    """A registry entry and its options, checked."""
    from advntk.foundation import registry
    from advntk.foundation.options import validated

    entry = registry.get(package, name)
    return entry, validated(entry.options, options, name)


def prepare(args: argparse.Namespace) -> None:
    """Load a dataset (download, verify, decode) into one npz."""
    from advntk import suite
    from advntk.ingredients import images

    entry, options = _entry(suite.DATASETS, args.dataset, _mapping(args.options))
    images.prepare(entry, options, downloads=args.downloads, out=args.out)


def split(args: argparse.Namespace) -> None:
    """Draw opt, val and test images of a seed; write manifest and arrays."""
    from advntk import suite
    from advntk.ingredients.images import read_prepared
    from advntk.ingredients.splits import make_split, write_split

    _, sizes = _entry(suite.DATASETS, args.dataset, _mapping(args.options))
    write_split(args.out, make_split(read_prepared(args.prepared), sizes, dataset=args.dataset, seed=args.seed))


def gram(args: argparse.Namespace) -> None:
    """Compute the Gram matrix of the opt images; goes on where a killed run stopped."""
    from advntk.ingredients.grams import build_gram
    from advntk.ingredients.splits import read_split

    spec, compute = _architecture(args.architecture), _compute(args)
    build_gram(read_split(args.split), spec, out=args.out, compute=compute, threads=args.threads)


def fit(args: argparse.Namespace) -> None:
    """Train a method on a split; goes on where a killed run stopped."""
    from advntk import suite
    from advntk.foundation import provenance
    from advntk.ingredients.splits import read_split
    from advntk.learning.fits import write_fit
    from advntk.learning.method import Task

    start = time.perf_counter()
    method, options = _entry(suite.METHODS, args.method, _mapping(args.options))
    wanted = "kernel" if args.verb == "fit" else "network"
    if method.kind != wanted:
        other = "train" if wanted == "kernel" else "fit"
        raise ConfigError(f"'{args.method}' trains a {method.kind}", where=args.verb, remedy=f"use the verb '{other}'")
    if method.depends_on_radius and args.eps255 is None:
        raise ConfigError(f"'{args.method}' trains for a radius", where="--eps255", remedy="give it, in 1/255")
    parsed = read_split(args.split)
    task = Task(
        split=parsed,
        spec=_architecture(args.architecture),
        threat=_threat(args),
        options=options,
        seed=parsed.seed,
        compute=_compute(args),
        gram=getattr(args, "gram", None),
        workdir=args.out.parent,
    )
    task.workdir.mkdir(parents=True, exist_ok=True)
    result = method.fit(task)
    write_fit(
        args.out.parent,
        result,
        name=args.method,
        method=method,
        task=task,
        split_path=args.split,
        provenance=provenance.environment(args.device, args.threads),
        timing={"wall_s": time.perf_counter() - start, "peak_mb": provenance.peak_mb()},
    )


def evaluate(args: argparse.Namespace) -> None:
    """Attack all checkpoints of a fit; write a record and each example's outcome."""
    from advntk import suite
    from advntk.measuring.evaluate import evaluate_fit

    kind = args.kind or args.attack
    if args.eps255 is None:
        raise ConfigError("an evaluation needs a radius", where="--eps255", remedy="give it, in 1/255; 0 for none")
    attack, options = _entry(suite.ATTACKS, kind, _mapping(args.options))
    evaluate_fit(
        args.fit,
        attack=attack,
        attack_name=args.attack,
        attack_kind=kind,
        options=options,
        threat=_threat(args),
        out=args.out,
        compute=_compute(args),
        threads=args.threads,
    )


def expand(args: argparse.Namespace) -> None:
    """Check a configuration and write the suite file: config, records and curves."""
    from advntk import suite
    from advntk.foundation import files

    files.write_json(args.out, suite.resolve(_mapping(args.config)).as_json())


def tabulate(args: argparse.Namespace) -> None:
    """Records → robust_accuracy.csv, .md and .tex."""
    from advntk.telling.suite_file import read_suite
    from advntk.telling.tables import write_tables

    write_tables(read_suite(args.suite), args.out)


def plot(args: argparse.Namespace) -> None:
    """Records → one figure, svg and png."""
    from advntk.telling.figures import write_figure
    from advntk.telling.suite_file import read_suite

    write_figure(args.figure, read_suite(args.suite), args.out)


def _parser() -> argparse.ArgumentParser:
    """All verbs and their options."""
    parser = argparse.ArgumentParser(
        prog="advntk",
        description="Benchmark suite for the adversarial robustness of wide networks.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"advntk {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    compute = argparse.ArgumentParser(add_help=False)
    compute.add_argument("--threads", type=_whole, default=threads.available(), help="threads (default: all cores)")
    compute.add_argument("--device", choices=["auto", "cpu", "gpu"], default="auto", help="where to compute")
    compute.add_argument(
        "--engine", choices=["auto", "numba", "neural_tangents"], default="auto", help="how kernels are computed"
    )
    compute.add_argument("--memory-mb", type=_whole, default=2000, help="bound of kernel temporaries, MiB")
    threat = argparse.ArgumentParser(add_help=False)
    threat.add_argument("--norm", choices=["linf", "l2"], default="linf", help="norm of the threat model")
    threat.add_argument("--eps255", type=float, help="radius, in 1/255 of the pixel range")
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "--options",
        default="{}",
        help="options as JSON, keys as in config.yaml (defaults: the paper's)",
    )

    def verb(name: str, function: Any, parents: Sequence[argparse.ArgumentParser] = ()) -> argparse.ArgumentParser:
        summary = (function.__doc__ or "").splitlines()[0]
        sub = verbs.add_parser(name, help=summary, description=summary, parents=list(parents))
        sub.set_defaults(run=function)
        return sub

    sub = verb("prepare", prepare, [options])
    sub.add_argument("--dataset", required=True, help="registry entry, such as digits")
    sub.add_argument("--downloads", type=Path, default=Path("data/downloads"), help="folder for original files")
    sub.add_argument("--out", type=Path, required=True, help="npz to write")
    sub = verb("split", split, [options])
    sub.add_argument("--dataset", required=True, help="registry entry, for its sizes")
    sub.add_argument("--prepared", type=Path, required=True, help="npz written by prepare")
    sub.add_argument("--seed", type=_seed, default=0, help="of the split and of everything trained on it")
    sub.add_argument("--out", type=Path, required=True, help="split.json to write; split.npz goes beside it")
    sub = verb("gram", gram, [compute])
    _add_problem(sub)
    sub.add_argument("--out", type=Path, required=True, help="npy to write; a .json of what made it goes beside it")
    for name in ("fit", "train"):
        sub = verb(name, fit, [compute, threat, options])
        _add_problem(sub)
        sub.add_argument("--method", required=True, help="kernel method" if name == "fit" else "network method")
        if name == "fit":
            sub.add_argument("--gram", type=Path, required=True, help="Gram matrix of the same split and architecture")
        sub.add_argument("--out", type=Path, required=True, help="fit.json to write; fit.npz and curves.csv beside it")
    sub = verb("evaluate", evaluate, [compute, threat, options])
    sub.add_argument("--fit", type=Path, required=True, help="folder of the fit")
    sub.add_argument("--attack", required=True, help="name of the attack in tables")
    sub.add_argument("--kind", help="registry entry, where it is not the name")
    sub.add_argument("--out", type=Path, required=True, help="record (json) to write; outcomes (npz) go beside it")
    sub = verb("expand", expand)
    sub.add_argument("--config", required=True, help="the whole configuration as JSON")
    sub.add_argument("--out", type=Path, required=True, help="suite.json to write")
    sub = verb("tabulate", tabulate)
    sub.add_argument("--suite", type=Path, required=True, help="suite.json")
    sub.add_argument("--out", type=Path, required=True, help="csv to write; .md and .tex go beside it")
    sub = verb("plot", plot)
    sub.add_argument("--suite", type=Path, required=True, help="suite.json")
    sub.add_argument("--figure", required=True, help="curves, depth or radius")
    sub.add_argument("--out", type=Path, required=True, help="svg to write; a png goes beside it")
    return parser


def _add_problem(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--split", type=Path, required=True, help="split.json")
    parser.add_argument("--architecture", required=True, help="""JSON, like '{"family": "mlp", "depth": 3}'""")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Returns:
        0, or 1 after an error that was told in one line on standard error.
    """
    args = _parser().parse_args(argv)
    if getattr(args, "threads", None):
        threads.limit(args.threads)
    try:
        args.run(args)
    except AdvntkError as error:
        print(f"advntk {args.verb}: error: {error.line()}", file=sys.stderr)
        return 1
    except OSError as error:
        place = error.filename or args.verb
        print(f"advntk {args.verb}: error: {place}: {error.strerror or error}; check path and disk", file=sys.stderr)
        return 1
    except MemoryError as error:
        print(f"advntk {args.verb}: error: out of memory ({error}); lower memory_mb or n_opt", file=sys.stderr)
        return 1
    except Exception as error:
        # not foreseen: the traceback is for a bug report, the last line for the reader of a log
        traceback.print_exc()
        what = " ".join(str(error).split())
        print(f"advntk {args.verb}: error: {type(error).__name__}: {what}; this should not happen", file=sys.stderr)
        return 1
    return 0
