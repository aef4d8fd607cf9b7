"""Jobs run in the image that the config names; stand-ins for apptainer run them here, or in the image once built."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.same_results import differences
from tests.workflow.conftest import ROOT, Checkout

RELEASE = "bookworm"
STAND_IN = """\
#!/usr/bin/env bash
# apptainer exec --home FOLDER IMAGE COMMAND ...
set -euo pipefail
[ "$1" = --version ] && {{ echo "apptainer version 1.3.6"; exit 0; }}
printf '%s\\n' "$*" >> "${{0%/*}}/asked"
while [ "${{1##*.}}" != sif ]; do shift; done
image=$1
shift
{enter}
"""
HERE = 'exec "$@"'
WITH_BUILDAH = """\
mapfile -t names < <(compgen -e | grep -vx PATH)  # as with apptainer, the caller's variables and folder are there
exec {buildah} run --isolation chroot --volume "$PWD:$PWD" --workingdir "$PWD" "${{names[@]/#/--env=}}" \\
  --env "HOME=$PWD" "$(cat "$image")" -- "$@"
"""


class ContainedCheckout(Checkout):
    """A checkout whose jobs go through a stand-in.

    Args:
        enter: what the stand-in does with a command, in bash.
    """

    def __init__(self, folder: Path, enter: str = HERE) -> None:
        super().__init__(folder)
        self.programs = folder / "programs"
        self.programs.mkdir()
        (self.programs / "apptainer").write_text(STAND_IN.format(enter=enter))
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
    """Both start from one image, copy all that the common script needs, and find its Python first."""
    docker = (ROOT / "container/Dockerfile").read_text(encoding="utf-8")
    apptainer = (ROOT / "container/apptainer.def").read_text(encoding="utf-8")
    base = re.search(r"^ARG BASE=(\S+)\nFROM \$BASE$", docker, re.MULTILINE)[1]
    assert base == f"debian:{RELEASE}-slim"
    assert f"\n    BASE={base}\n" in apptainer
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements", "advntk", "container/install.sh"):
        assert (ROOT / name).exists()
        assert re.search(rf"^COPY .*\b{re.escape(name)}\b", docker, re.MULTILINE), name
        assert f"    {name} /opt/advntk/{name}\n" in apptainer, name
    assert 'install.sh /opt/advntk "$LOCK"' in docker
    assert 'install.sh /opt/advntk "{{ LOCK }}"' in apptainer
    assert "\nENV PATH=/opt/advntk/image/bin:" in docker
    assert "export PATH=/opt/advntk/image/bin:" in apptainer


class Store:
    """Images and containers in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.buildah = ["buildah", "--root", str(folder / "root"), "--runroot", str(folder / "run")]

    def __call__(self, *words: str) -> str:
        return _output(*self.buildah, *words)

    def base(self) -> str:
        """A minimal Debian, as images of that name are, of Debian's packages."""
        _output("debootstrap", "--variant=minbase", RELEASE, str(self.folder / "debian"))
        container = self("from", "scratch")
        self("add", "--quiet", container, str(self.folder / "debian"), "/")
        self("commit", "--quiet", "--rm", container, "base")
        return "localhost/base"

    def remove(self) -> None:
        self("rm", "--all")
        self("rmi", "--all", "--force")
        shutil.rmtree(self.folder)


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{(done.stdout + done.stderr)[-6000:]}"
    return done.stdout.strip()


def _pip_settings(folder: Path) -> list[str]:
    """Flags that give a build this machine's package index and certificates."""
    certificates = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    settings = {"index-url": os.environ.get("PIP_INDEX_URL"), "cert": "/etc/pip.crt" if certificates else None}
    lines = [f"{name} = {value}\n" for name, value in settings.items() if value]
    (folder / "pip.conf").write_text("[global]\n" + "".join(lines))
    flags = ["--volume", f"{folder / 'pip.conf'}:/etc/pip.conf:ro"]
    return [*flags, "--volume", f"{certificates}:/etc/pip.crt:ro"] if certificates else flags


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Iterator[Store]:
    missing = [name for name in ("debootstrap", "buildah") if shutil.which(name) is None]
    missing += ["root's rights"] * (os.geteuid() != 0)
    if missing:
        remedy = "as root: apt-get install debootstrap buildah"
        pytest.fail(f"an image cannot be built without {', '.join(missing)}; {remedy}", pytrace=False)
    store = Store(tmp_path_factory.mktemp("store"))
    yield store
    store.remove()


@pytest.fixture(scope="module")
def container(store, tmp_path_factory) -> str:
    """A container of the image of the Dockerfile."""
    start = time.monotonic()
    arguments = ["--build-arg", f"BASE={store.base()}", *_pip_settings(tmp_path_factory.mktemp("pip"))]
    based = time.monotonic()
    recipe = ["--file", str(ROOT / "container/Dockerfile"), "--tag", "advntk", str(ROOT)]
    store("build", "--isolation", "chroot", "--pull=never", *arguments, *recipe)
    size = json.loads(store("images", "--json", "advntk"))[0]["size"]
    print(f"base {based - start:.0f} s, image {time.monotonic() - based:.0f} s, {size}")
    return store("from", "--pull=never", "localhost/advntk")


@pytest.mark.slow
def test_jobs_in_the_image_give_what_they_give_outside(store, container, finished, tmp_path):
    inside = ContainedCheckout(tmp_path, WITH_BUILDAH.format(buildah=" ".join(store.buildah)))
    (tmp_path / "image.sif").write_text(container)
    suite = inside.suite(compute={"container": "image.sif"})
    inside.run("--cores", "2", "--configfile", str(suite), "--sdm", "apptainer")
    assert differences(finished.folder / "results/tiny", inside.folder / "results/tiny") == []
    records = [json.loads(path.read_text()) for path in (tmp_path / "results/tiny/records").rglob("*.json")]
    assert {record["provenance"]["prefix"] for record in records} == {"image"}
