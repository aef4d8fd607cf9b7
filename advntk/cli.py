"""Floor 6: the command line, one verb per workflow rule; every verb runs without Snakemake too.

Libraries are imported inside the verbs: threads must be limited before they load, and ``--help`` must be quick. What a
verb takes is in :mod:`advntk.arguments`.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import time
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from advntk import parsed
from advntk.arguments import parser
from advntk.foundation import threads
from advntk.foundation.errors import AdvntkError, ConfigError
from advntk.foundation.gpus import hide_gpus, out_of_memory
from advntk.planning import publishing, verbs

if TYPE_CHECKING:
    from advntk.attacks.named import NamedAttack


def prepare(args: argparse.Namespace) -> None:
    """Load a dataset (download, verify, decode) into one npz."""
    from advntk import suite
    from advntk.foundation import provenance
    from advntk.ingredients import images

    entry, options = parsed.entry(suite.DATASETS, args.dataset, parsed.mapping(args.options))
    sources = provenance.sources("advntk.ingredients.images", f"{suite.DATASETS}.{args.dataset}")
    made = provenance.environment("cpu", 1, sources=sources)
    images.prepare(entry, options, downloads=args.downloads, out=args.out, made=made)


def split(args: argparse.Namespace) -> None:
    """Draw opt, val and test images of a seed; write manifest and arrays."""
    from advntk import suite
    from advntk.foundation import provenance
    from advntk.foundation.overlap import overlap_note
    from advntk.ingredients.images import read_prepared
    from advntk.ingredients.splits import make_split, write_split

    _, sizes = parsed.entry(suite.DATASETS, args.dataset, parsed.mapping(args.options))
    sources = provenance.sources("advntk.ingredients.splits", f"{suite.DATASETS}.{args.dataset}")
    made = make_split(read_prepared(args.prepared), sizes, dataset=args.dataset, seed=args.seed)
    places = {"prepared": os.path.relpath(args.prepared, args.out.parent)}
    told = provenance.environment("cpu", 1, sources=sources, data=made.data, places=places)
    write_split(args.out, made, made=told)
    if note := overlap_note(args.dataset, [made.overlap]):
        print(f"advntk split: warning: {note}", file=sys.stderr)


def gram(args: argparse.Namespace) -> None:
    """Compute the Gram matrix of the training images, or one part of it; resumes a killed run."""
    from advntk.ingredients.gram_parts import build_part
    from advntk.ingredients.grams import build_gram
    from advntk.ingredients.splits import read_split

    if (args.part is None) != (args.parts is None):
        raise ConfigError("--part and --parts go together", where="--part", remedy="give both, or none for the whole")
    spec, compute = parsed.architecture(args.architecture), parsed.compute(args)
    settings = {"images": args.images, "out": args.out, "compute": compute, "threads": args.threads}
    if args.part is None:
        build_gram(read_split(args.split), spec, **settings)
    else:
        build_part(read_split(args.split), spec, part=args.part, parts=args.parts, **settings)


def gather(args: argparse.Namespace) -> None:
    """Put the parts of a Gram matrix together, whatever machines computed them, and check the whole."""
    from advntk.ingredients.gram_parts import gather as gather_parts
    from advntk.ingredients.splits import read_split

    settings = {"images": args.images, "out": args.out, "compute": parsed.compute(args), "threads": args.threads}
    gather_parts(args.files, read_split(args.split), parsed.architecture(args.architecture), **settings)


def _method(args: argparse.Namespace, wanted: str) -> tuple[str, Any, Any]:
    """The registry entry of a method on the command line, by name and itself, and its options, checked."""
    from advntk import suite

    entry = args.kind or args.method
    method, options = parsed.entry(suite.METHODS, entry, parsed.mapping(args.options))
    if method.kind != wanted:
        other = "train" if wanted == "kernel" else "fit"
        raise ConfigError(f"'{entry}' trains a {method.kind}", where=args.verb, remedy=f"use the verb '{other}'")
    if method.depends_on_radius and args.eps255 is None:
        raise ConfigError(f"'{entry}' trains for a radius", where="--eps255", remedy="give it, in 1/255")
    return entry, method, options


def fit(args: argparse.Namespace) -> None:
    """Train a method on a split; resumes where a killed run stopped."""
    from advntk.foundation import provenance
    from advntk.foundation.recipes import chosen_options, read_choice
    from advntk.ingredients.splits import read_split
    from advntk.learning.fits import made_from, write_fit
    from advntk.learning.method import Task

    start = time.perf_counter()
    entry, method, options = _method(args, "kernel" if args.verb == "fit" else "network")
    choice = read_choice(args.choice) if getattr(args, "choice", None) else None
    drawn = read_split(args.split)
    task = Task(
        split=drawn,
        images=args.images or method.images,
        spec=parsed.architecture(args.architecture),
        threat=parsed.threat(args),
        options=chosen_options(options, choice) if choice else options,
        seed=drawn.seed,
        compute=parsed.compute(args),
        gram=getattr(args, "gram", None),
        workdir=args.out.parent,
        choice=choice,
    )
    task.workdir.mkdir(parents=True, exist_ok=True)
    origin = made_from(task, entry, args.split)
    result = method.fit(task)
    write_fit(
        args.out.parent,
        result,
        name=args.method,
        entry=entry,
        method=method,
        task=task,
        split_path=args.split,
        provenance=provenance.environment(args.device, args.threads, **origin),
        timing={"wall_s": time.perf_counter() - start, "peak_mb": provenance.peak_mb()},
    )


def search(args: argparse.Namespace) -> None:
    """Choose the recipe of a network method on val; resumes where a killed run stopped."""
    from advntk.ingredients.splits import read_split
    from advntk.learning import recipes
    from advntk.learning.method import Task

    entry, _, options = _method(args, "network")
    drawn = read_split(args.split)
    task = Task(
        split=drawn,
        spec=parsed.architecture(args.architecture),
        threat=parsed.threat(args),
        options=options,
        seed=drawn.seed,
        compute=parsed.compute(args),
        gram=None,
        workdir=args.out.parent,
    )
    recipes.search(task, args.out, method=args.method, entry=entry, split_path=args.split, threads=args.threads)


def check(args: argparse.Namespace) -> None:
    """Train the recipe of a fit for twice the updates, to see whether it has converged."""
    from advntk.learning import recipes

    recipes.check(args.fit, args.out, compute=parsed.compute(args), threads=args.threads)


def _attack(args: argparse.Namespace) -> NamedAttack:
    """The attack on the command line, its options checked."""
    from advntk import suite
    from advntk.attacks.named import NamedAttack

    kind = args.kind or args.attack
    if args.eps255 is None:
        raise ConfigError("an attack needs a radius", where="--eps255", remedy="give it, in 1/255; 0 for none")
    entry, options = parsed.entry(suite.ATTACKS, kind, parsed.mapping(args.options))
    return NamedAttack(name=args.attack, kind=kind, entry=entry, options=options)


def attack(args: argparse.Namespace) -> None:
    """Attack one chunk of the test images; resumes a killed run."""
    from advntk.measuring.chunks import ChunkedAttack

    chunked = ChunkedAttack(
        fit=args.fit,
        attack=_attack(args),
        threat=parsed.threat(args),
        chunks=args.chunks,
        compute=parsed.compute(args),
        threads=args.threads,
    )
    chunked.ensure(args.chunk)


def evaluate(args: argparse.Namespace) -> None:
    """Attack all checkpoints of a fit; write a record and each example's outcome."""
    from advntk.measuring.evaluate import evaluate_fit

    settings = {"threat": parsed.threat(args), "compute": parsed.compute(args), "threads": args.threads}
    evaluate_fit(args.fit, attack=_attack(args), out=args.out, keep_images=args.keep_images, **settings)


def sweep(args: argparse.Namespace) -> None:
    """Robust accuracy over the strength of an attack: its radius, steps or restarts."""
    from advntk.foundation.config import SweepEntry
    from advntk.foundation.options import validated
    from advntk.measuring.sweep import sweep_fit

    chosen = _attack(args)
    if chosen.entry.chunked:
        raise ConfigError(f"'{chosen.kind}' takes too long for a sweep", where="--attack", remedy="use pgd")
    values = validated(SweepEntry, {"attack": args.attack, "values": args.values}, "--values").values
    if args.sweep == "radius":
        parsed.require_unit(args.norm, values[-1], "--values")
    settings = {"threat": parsed.threat(args), "compute": parsed.compute(args), "threads": args.threads}
    sweep_fit(args.fit, kind=args.sweep, values=values, attack=chosen, out=args.out, **settings)


def transfer(args: argparse.Namespace) -> None:
    """Show the perturbed images of each predictor to all others of the same split."""
    from advntk.measuring import transfer as measuring

    if len(args.records) != len(args.fits):
        raise ConfigError(
            f"{len(args.records)} records and {len(args.fits)} fits", where="--fits", remedy="give one fit a record"
        )
    measuring.transfer(args.records, args.fits, out=args.out, compute=parsed.compute(args), threads=args.threads)


def experiment(args: argparse.Namespace) -> None:
    """Measure one unit of a theory experiment."""
    from advntk import suite
    from advntk.foundation.device import jax_device
    from advntk.ingredients.splits import read_split
    from advntk.theory.experiment import Study, run_unit, unit_of

    entry, options = parsed.entry(suite.EXPERIMENTS, args.experiment, parsed.mapping(args.options))
    unit = unit_of(entry, options, args.unit)
    study = Study(
        unit=unit, options=options, split=read_split(args.split) if args.split else None, compute=parsed.compute(args)
    )
    places = {"split": os.path.relpath(args.split, args.out.parent)} if args.split else {}
    jax_device(args.device)  # a unit that makes no kernel engine asks for none: fail without a GPU, or note its name
    run_unit(args.experiment, entry, study, out=args.out, threads=args.threads, places=places)


def expand(args: argparse.Namespace) -> None:
    """Check a configuration and write the suite file: config, records and curves."""
    from advntk import suite
    from advntk.foundation import files

    files.write_json(args.out, suite.resolve(parsed.mapping(args.config)).as_json())


def tabulate(args: argparse.Namespace) -> None:
    """Records → one table, csv, md and tex."""
    from advntk.telling.suite_file import read_suite
    from advntk.telling.tables import write_table

    write_table(args.table, read_suite(args.suite, allow_mixed=args.allow_mixed), args.out)


def plot(args: argparse.Namespace) -> None:
    """Records → one figure, svg and png."""
    from advntk.telling.figures import write_figure
    from advntk.telling.suite_file import read_suite

    write_figure(args.figure, read_suite(args.suite, allow_mixed=args.allow_mixed), args.out)


def export(args: argparse.Namespace) -> None:
    """Records → one JSON file a predictor in RobustBench's field names, and their schema."""
    from advntk.telling import robustbench
    from advntk.telling.suite_file import read_suite

    robustbench.export(read_suite(args.suite, allow_mixed=args.allow_mixed), args.out)


def page(args: argparse.Namespace) -> None:
    """Published suites → one page of results with its figures."""
    from advntk.telling.results_page import write_page

    write_page(args.reference, args.out, allow_mixed=args.allow_mixed)


def theory_page(args: argparse.Namespace) -> None:
    """Findings of a suite's experiments → the page of the theory with its figures."""
    from advntk.telling.theory_page import write_theory_page

    write_theory_page(args.suite, args.out, allow_mixed=args.allow_mixed)


def provenance(args: argparse.Namespace) -> None:
    """Where a result and all behind it ran, and on which code, data and environment; is it this checkout's code?"""
    from advntk.telling.origin import as_json, as_text, origin

    told = origin(args.result)
    print(json.dumps(as_json(told), indent=1) if args.json else as_text(told))


VERBS = {
    "list": verbs.run_list,
    "prepare": prepare,
    "split": split,
    "gram": gram,
    "gather": gather,
    "fit": fit,
    "search": search,
    "train": fit,
    "check": check,
    "attack": attack,
    "evaluate": evaluate,
    "sweep": sweep,
    "transfer": transfer,
    "experiment": experiment,
    "expand": expand,
    "tabulate": tabulate,
    "plot": plot,
    "export": export,
    "publish": publishing.run_publish,
    "missing": publishing.run_missing,
    "accept": publishing.run_accept,
    "page": page,
    "theory-page": theory_page,
    "provenance": provenance,
    "plan": verbs.run_plan,
    "costs": verbs.run_costs,
}


def _no_jax() -> AdvntkError | None:
    """Why JAX cannot start, where it was tried."""
    from advntk.foundation.device import require_jax

    try:
        if "jax" in sys.modules:
            require_jax()
    except AdvntkError as error:
        return error
    return None


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Returns:
        0, or what the verb returns; 1 after an error, printed in one line on standard error.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # an encoding without ε or ∞ shows their numbers instead of failing
            stream.reconfigure(errors="backslashreplace")
    args = parser(VERBS).parse_args(argv)
    if getattr(args, "threads", None):
        threads.limit(args.threads)
    if getattr(args, "device", None) == "cpu":
        hide_gpus()
    try:
        status = args.run(args) or 0
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # its reader, such as head, has seen enough; at its end Python would write to the pipe once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
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
        what = " ".join(str(error).split())
        if out_of_memory(error):
            lower = "compute.memory_mb (kernels) or the method's batch (networks)"
            advice = f"lower {lower}, or let fewer jobs share a GPU (--resources gpu=1)"
            print(f"advntk {args.verb}: error: out of memory ({what}); {advice}", file=sys.stderr)
            return 1
        if cause := _no_jax():
            print(f"advntk {args.verb}: error: {cause.line()}", file=sys.stderr)
            return 1
        # not foreseen: the traceback is for a bug report, the last line for the reader of a log
        traceback.print_exc()
        print(f"advntk {args.verb}: error: {type(error).__name__}: {what}; this should not happen", file=sys.stderr)
        return 1
