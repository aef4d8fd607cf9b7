"""Floor 6: the command line; every verb runs without Snakemake too.

Each verb is a module of :mod:`advntk.verbs`. Only the one that is asked for is imported, and libraries only when it
runs: threads must be limited before they load, and ``--help`` must be quick.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import io
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from advntk import __version__, verbs
from advntk.foundation import threads
from advntk.foundation.errors import AdvntkError
from advntk.foundation.gpus import hide_gpus, out_of_memory

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


def parser(*asked: str) -> argparse.ArgumentParser:
    """All verbs with their summaries, and the options of those that are asked for."""
    whole = argparse.ArgumentParser(
        prog="advntk",
        description="Benchmark suite for the adversarial robustness of wide networks.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", action="version", version=f"advntk {__version__}")
    choices = whole.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name in verbs.names():
        verb, summary = name.replace("_", "-"), _summary(name)
        sub = choices.add_parser(verb, help=summary, description=summary)
        if verb in asked:
            from advntk.arguments import add_options

            module = importlib.import_module(f"{verbs.__name__}.{name}")
            if epilog := getattr(module, "EPILOG", ""):
                sub.epilog, sub.formatter_class = epilog, argparse.RawDescriptionHelpFormatter
            sub.set_defaults(module=module)
            add_options(sub, module.Options)
    return whole


def _summary(name: str) -> str:
    """The docstring of a verb's module, which is not imported for it."""
    source = Path(verbs.__path__[0], f"{name}.py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source)) or ""


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
    words = sys.argv[1:] if argv is None else list(argv)
    asked = [word for word in words if not word.startswith("-")][:1]
    given = vars(parser(*asked).parse_args(words))
    verb, module = given.pop("verb"), given.pop("module")
    from advntk.foundation.options import validated

    try:
        options = validated(module.Options, given, "")
        if hasattr(options, "threads"):
            threads.limit(options.threads)
        if getattr(options, "device", None) == "cpu":
            hide_gpus()
        status = module.run(options) or 0
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # its reader, such as head, has seen enough; at its end Python would write to the pipe once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except AdvntkError as error:
        print(f"advntk {verb}: error: {error.line()}", file=sys.stderr)
        return 1
    except OSError as error:
        place = error.filename or verb
        print(f"advntk {verb}: error: {place}: {error.strerror or error}; check path and disk", file=sys.stderr)
        return 1
    except MemoryError as error:
        print(f"advntk {verb}: error: out of memory ({error}); lower memory_mb or n_opt", file=sys.stderr)
        return 1
    except Exception as error:
        what = " ".join(str(error).split())
        if out_of_memory(error):
            lower = "compute.memory_mb (kernels) or the method's batch (networks)"
            advice = f"lower {lower}, or let fewer jobs share a GPU (--resources gpu=1)"
            print(f"advntk {verb}: error: out of memory ({what}); {advice}", file=sys.stderr)
            return 1
        if cause := _no_jax():
            print(f"advntk {verb}: error: {cause.line()}", file=sys.stderr)
            return 1
        # not foreseen: the traceback is for a bug report, the last line for the reader of a log
        traceback.print_exc()
        print(f"advntk {verb}: error: {type(error).__name__}: {what}; this should not happen", file=sys.stderr)
        return 1
