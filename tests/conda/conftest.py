"""A checkout whose environments a real conda makes; all that was made is deleted at the end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conda import kit
from tests.workflow.conftest import ROOT, Checkout

WITNESS = """\
# Python imports this at its start: tell which interpreter runs which verb.
import json, os, sys

words = sys.orig_argv
if words[1:3] == ["-m", "advntk"]:
    line = {"verb": words[3], "prefix": os.path.realpath(sys.prefix)}
    with open(os.environ["ADVNTK_WITNESS"], "a") as file:
        file.write(json.dumps(line) + "\\n")
"""


class DeployedCheckout(Checkout):
    """A checkout that runs with ``--sdm conda``; environments are shared by all that have the same ``prefixes``."""

    def __init__(self, folder: Path, conda: kit.Conda) -> None:
        folder.mkdir()
        super().__init__(folder)
        for name in ("README.md", "LICENSE"):
            shutil.copy2(ROOT / name, folder / name)
        self.conda, self.prefixes = conda, (conda.folder / "deployed").resolve()
        self.seen = folder.parent / f"{folder.name}.seen"

    def command(self, *arguments: str) -> list[str]:
        deployment = ["--sdm", "conda", "--conda-prefix", str(self.prefixes)]
        return super().command(*deployment, *arguments)

    def environment(self) -> dict[str, str]:
        return self.conda.environment(super().environment()) | {"ADVNTK_WITNESS": str(self.seen)}

    def deploy(self, *arguments: str) -> None:
        """Make the environments, and put a witness into each."""
        self.run("--cores", "2", "--conda-create-envs-only", *arguments)
        for site in self.prefixes.glob("*_/lib/python*/site-packages"):
            (site / "advntk_witness.py").write_text(WITNESS)
            (site / "advntk_witness.pth").write_text("import advntk_witness\n")

    def interpreters(self) -> dict[str, set[str]]:
        """Prefixes of the interpreters that ran each verb."""
        found: dict[str, set[str]] = {}
        for line in self.seen.read_text().splitlines():
            told = json.loads(line)
            found.setdefault(told["verb"], set()).add(told["prefix"])
        return found

    def deployed(self, name: str) -> Path:
        """Folder of the environment that was made from a file of ``envs``."""
        wanted = (self.folder / f"envs/{name}.yaml").read_bytes()
        (copy,) = (path for path in self.prefixes.glob("*.yaml") if path.read_bytes() == wanted)
        return copy.with_suffix("")


@pytest.fixture(scope="session")
def conda(tmp_path_factory) -> Iterator[kit.Conda]:
    folder = tmp_path_factory.mktemp("conda") / "all"
    try:
        yield kit.make(folder)
    except kit.NoConda as reason:
        pytest.fail(f"a real conda could not be installed: {reason}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # several GB


@pytest.fixture(scope="session")
def tiny_deployed(tmp_path_factory, conda) -> DeployedCheckout:
    """A checkout in which the tiny suite ran in environments made by conda."""
    checkout = DeployedCheckout(tmp_path_factory.mktemp("deployed") / "checkout", conda)
    checkout.deploy("--configfile", str(checkout.suite()))
    checkout.run("--cores", "2", "--configfile", str(checkout.suite()))
    return checkout
