"""The contracts of datasets, methods and attacks as functions, for tests of entries outside the package.

In a test of your own repository (docs/extend.md)::

    from advntk import testing

    testing.use("mine")  # the folder of entries, as in ``plugins`` of a configuration

    def test_my_attack():
        testing.check_attack("rfgsm")

Checks are plain assertions; any test runner will do.
"""

from __future__ import annotations

from pathlib import Path

from advntk.foundation import registry
from advntk.testing.attacks import check_attack
from advntk.testing.trained import check_dataset, check_method

__all__ = ["check_attack", "check_dataset", "check_method", "use"]


def use(*folders: str | Path) -> None:
    """Take entries of these folders, as ``plugins`` of a configuration does; a wrong folder is a ``ConfigError``."""
    registry.use(folders)
