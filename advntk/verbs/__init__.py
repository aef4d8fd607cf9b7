"""The verbs of the command line, one module each: its docstring, ``Options`` and ``run``.

Libraries are imported inside ``run``: threads must be limited before they load, and ``--help`` must be quick.
"""

from __future__ import annotations

from advntk.foundation import registry

_ORDER = (
    *("list", "prepare", "split", "gram", "gather", "fit", "search", "train", "check", "attack", "evaluate", "sweep"),
    *("transfer", "certify", "experiment", "expand", "tabulate", "plot", "export", "publish", "missing", "accept"),
    *("webpage", "page", "theory_page", "croissant", "provenance", "plan", "costs"),
)
"""Of the workflow, then of what follows it; verbs that are not named here come last."""


def names() -> list[str]:
    """Modules of all verbs, in this order."""
    found = registry.names(__name__)
    return [*(name for name in _ORDER if name in found), *(name for name in found if name not in _ORDER)]
