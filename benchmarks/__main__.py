"""``python -m benchmarks NAME``: run one benchmark and print its result; libraries are imported by it alone."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout

from advntk.foundation import threads
from advntk.foundation.errors import AdvntkError
from advntk.foundation.gpus import hide_gpus
from advntk.foundation.options import validated
from benchmarks.options import BENCHMARKS, parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark of the command line; all but its result is printed to standard error.

    Returns:
        0, or 1 after an error, printed in one line on standard error.
    """
    given = vars(parser().parse_args(argv))
    name, as_json = given.pop("benchmark"), given.pop("json")
    try:
        options = validated(BENCHMARKS[name], given, name)
        if count := getattr(options, "threads", None):
            threads.limit(count)
        if getattr(options, "device", "cpu") == "cpu":
            hide_gpus()
        with redirect_stdout(sys.stderr):
            result = {"bench": name, **importlib.import_module(f"benchmarks.{name}").run(options)}
    except (AdvntkError, OSError) as error:
        what = error.line() if isinstance(error, AdvntkError) else f"{error}; check path and disk"
        print(f"benchmarks {name}: error: {what}", file=sys.stderr)
        return 1
    print(json.dumps(result, allow_nan=False, ensure_ascii=as_json, indent=None if as_json else 1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
