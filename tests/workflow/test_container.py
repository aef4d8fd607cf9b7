"""Jobs run in the image that the config names; a stand-in for apptainer tells what it was asked and runs it here."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml

from tests.workflow.conftest import ROOT, Checkout

STAND_IN = """\
#!/usr/bin/env bash
[ "$1" = --version ] && { echo "apptainer version 1.3.6"; exit 0; }
printf '%s\\n' "$*" >> "${0%/*}/asked"
while [ "$1" != exec ]; do shift; done
while [ "${1##*.}" != sif ]; do shift; done
shift
exec "$@"
"""


class ContainedCheckout(Checkout):
    """A checkout whose jobs go through the stand-in."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.programs = folder / "programs"
        self.programs.mkdir()
        (self.programs / "apptainer").write_text(STAND_IN)
        (self.programs / "apptainer").chmod(0o755)

    def environment(self) -> dict[str, str]:
        outer = super().environment()
        return {**outer, "PATH": f"{self.programs}{os.pathsep}{outer['PATH']}"}


@pytest.fixture
def contained(tmp_path) -> ContainedCheckout:
    return ContainedCheckout(tmp_path)


def test_jobs_run_in_the_image(contained):
    (contained.folder / "advntk.sif").touch()
    suite = contained.suite(compute={"container": "advntk.sif"})
    contained.run("--cores", "1", "--configfile", str(suite), "--sdm", "apptainer", "--until", "expand")
    asked = (contained.programs / "asked").read_text()
    assert re.search(r"exec .* advntk\.sif .*python -m advntk expand", asked, re.DOTALL)
    assert (contained.folder / "results/tiny/suite.json").is_file()


def test_without_an_image_nothing_runs(contained):
    output = contained.run("--cores", "1", "--configfile", str(contained.suite()), "--sdm", "apptainer", expect=1)
    assert "compute.container" in output


def test_the_recipes_build_the_same():
    """Both start from one image and copy all that the common script needs."""
    docker = (ROOT / "container/Dockerfile").read_text(encoding="utf-8")
    apptainer = (ROOT / "container/apptainer.def").read_text(encoding="utf-8")
    base = re.search(r"^FROM (\S+)$", docker, re.MULTILINE)[1]
    assert f"\nFrom: {base}\n" in apptainer
    python = yaml.safe_load((ROOT / "envs/kernels.yaml").read_text(encoding="utf-8"))["dependencies"][0]
    assert base.startswith(f"python:{python.removeprefix('python=')}-")
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements", "advntk", "container/install.sh"):
        assert (ROOT / name).exists()
        assert re.search(rf"^COPY .*\b{re.escape(name)}\b", docker, re.MULTILINE), name
        assert f"    {name} /opt/advntk/{name}\n" in apptainer, name
    assert 'install.sh /opt/advntk "$LOCK"' in docker
    assert 'install.sh /opt/advntk "{{ LOCK }}"' in apptainer
