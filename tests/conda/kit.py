"""A real conda from the package index, and a channel that stands in for conda-forge.

conda itself is not on PyPI, but conda-lock carries a copy of it: that copy is put into a virtual environment together
with what it needs. The channel holds two packages, which is all that the conda parts of ``envs/`` name: this
interpreter, and pip. The environments are thus made by conda and pip from the unmodified files; what conda-forge itself
holds is not shown.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CONDA_LOCK = "conda-lock==4.0.3"  # carries conda 24.7.1
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
VERSION = ".".join(map(str, sys.version_info[:3]))
SHORT = ".".join(map(str, sys.version_info[:2]))
LEFT_OUT = ("site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "ensurepip", "__pycache__", "*.a")

PROGRAM = """\
#!{python}
import sys

if __name__ == "__main__":  # conda starts this file anew in a child process
    from conda.cli.main import main

    sys.exit(main())
"""
ACTIVATE = """\
export CONDA_EXE={conda} CONDA_PYTHON_EXE={python} _CE_M= _CE_CONDA=
conda() {{
    case "$1" in
        activate | deactivate | reactivate) eval "$("$CONDA_EXE" shell.posix "$@")" && hash -r ;;
        *) "$CONDA_EXE" "$@" ;;
    esac
}}
conda activate "$@"
"""
SETTINGS = """\
channel_priority: strict
solver: classic
register_envs: false
notify_outdated_conda: false
pkgs_dirs: [{folder}/packages]
envs_dirs: [{folder}/environments]
custom_channels: {{conda-forge: "{channel}"}}
"""


class NoConda(Exception):
    """Conda or its channel could not be made, and why."""


@dataclass(frozen=True, kw_only=True)
class Conda:
    """An installed conda.

    Attributes:
        folder: everything: conda, channel, home.
    """

    folder: Path

    @property
    def program(self) -> Path:
        return self.folder / "conda/bin/conda"

    def environment(self, outer: Mapping[str, str]) -> dict[str, str]:
        """Variables of a process that finds this conda first, writes into no one's home, and shares pip's settings."""
        kept = {name: value for name, value in outer.items() if not name.startswith(("CONDA_", "XDG_"))}
        home = Path(outer.get("HOME", "/root"))
        settings = [home / ".config/pip/pip.conf", home / ".pip/pip.conf"]
        found = next((str(path) for path in settings if path.is_file()), os.devnull)
        cache = home / ".cache/pip"
        return {
            **kept,
            "HOME": str(self.folder / "home"),
            "PATH": f"{self.program.parent}{os.pathsep}{outer['PATH']}",
            "PIP_CONFIG_FILE": outer.get("PIP_CONFIG_FILE", found),
            "PIP_CACHE_DIR": outer.get("PIP_CACHE_DIR", str(cache)),
        }


def make(folder: Path) -> Conda:
    """Install conda and write its channel, both under a folder.

    Returns:
        The conda.

    Raises:
        NoConda: a package could not be had, or this interpreter cannot be packed.
    """
    if "posix_local" in sysconfig.get_scheme_names():  # Debian's
        raise NoConda(f"{sys.base_prefix}: a distribution's own Python cannot be packed; use one built from its source")
    (folder / "home").mkdir(parents=True)
    channel = folder / "channel/conda-forge"
    settings = SETTINGS.format(folder=folder, channel=f"file://{channel.parent}")
    install(folder / "conda", folder / "wheels", settings)
    pack_python(channel / "linux-64")
    (wheel,) = (folder / "wheels").glob("pip-*.whl")
    pack_pip(wheel, channel / "noarch")
    for subdir in ("linux-64", "noarch"):
        index(channel / subdir)
    return Conda(folder=folder)


def ran(*command: object) -> str:
    """Run a command.

    Returns:
        Its output.

    Raises:
        NoConda: it failed.
    """
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise NoConda(f"{' '.join(map(str, command))}:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def install(base: Path, wheels: Path, settings: str) -> None:
    """Conda in a virtual environment, with the two files that a conda installation has and its wheel copy lacks."""
    ran(sys.executable, "-m", "venv", base)
    python = base / "bin/python"
    ran(python, "-m", "pip", "install", "--quiet", "-r", REQUIREMENTS)
    ran(python, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "-d", wheels, CONDA_LOCK, "pip")
    site = base / f"lib/python{SHORT}/site-packages"
    (carrier,) = wheels.glob("conda_lock-*.whl")
    inside = "conda_lock/_vendor/conda/"
    with zipfile.ZipFile(carrier) as archive:
        for name in archive.namelist():
            if name.startswith(inside) and not name.endswith("/"):
                path = site / "conda" / name.removeprefix(inside)
                path.parent.mkdir(parents=True, exist_ok=True)
                content = archive.read(name)
                path.write_bytes(re.sub(rb"conda_lock\._?vendor\.conda\b", b"conda", content))
    (base / "conda-meta").mkdir()
    (base / "conda-meta/history").touch()
    (base / ".condarc").write_text(settings)
    program = base / "bin/conda"
    program.write_text(PROGRAM.format(python=python))
    program.chmod(0o755)
    (base / "bin/activate").write_text(ACTIVATE.format(conda=program, python=python))


def pack_python(out: Path) -> None:
    """This interpreter as a conda package; a shared libpython stays where it is, by its absolute path."""
    base, root = Path(sys.base_prefix), out.parent / "python"
    shutil.copytree(base / f"lib/python{SHORT}", root / f"lib/python{SHORT}", ignore=shutil.ignore_patterns(*LEFT_OUT))
    (root / f"lib/python{SHORT}/site-packages").mkdir()
    (root / f"lib/python{SHORT}/site-packages/README.txt").touch()
    (root / "bin").mkdir()
    shutil.copy2(base / f"bin/python{SHORT}", root / f"bin/python{SHORT}")
    for name in ("python", "python3"):
        (root / "bin" / name).symlink_to(f"python{SHORT}")
    pack(root, out, {"name": "python", "version": VERSION, "build": "0_cpython", "depends": []})


def pack_pip(wheel: Path, out: Path) -> None:
    """The wheel of pip as a conda package for any Python."""
    root = out.parent / "pip"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(root / "site-packages")
    link = {"noarch": {"type": "python", "entry_points": ["pip = pip._internal.cli.main:main"]}}
    (root / "info").mkdir()
    (root / "info/link.json").write_text(json.dumps({**link, "package_metadata_version": 1}))
    version = wheel.name.split("-")[1]
    about = {"name": "pip", "version": version, "build": "py_0", "depends": ["python >=3.9"], "noarch": "python"}
    pack(root, out, about)


def pack(root: Path, out: Path, about: dict) -> None:
    """Write a folder as a conda package of the old form, a tar.bz2, and delete the folder."""
    files = sorted(path for path in root.rglob("*") if path.is_file() or path.is_symlink())
    info, entries = root / "info", []
    for path in files:
        if info in path.parents:
            continue
        entry = {"_path": str(path.relative_to(root)), "path_type": "softlink" if path.is_symlink() else "hardlink"}
        content = path.read_bytes()
        entries.append({**entry, "sha256": hashlib.sha256(content).hexdigest(), "size_in_bytes": len(content)})
    info.mkdir(exist_ok=True)
    whole = {**about, "build_number": 0, "subdir": out.name, "license": "see the package"}
    (info / "index.json").write_text(json.dumps(whole))
    (info / "paths.json").write_text(json.dumps({"paths": entries, "paths_version": 1}))
    (info / "files").write_text("".join(f"{entry['_path']}\n" for entry in entries))
    out.mkdir(parents=True, exist_ok=True)
    name = "-".join((about["name"], about["version"], about["build"]))
    with tarfile.open(out / f"{name}.tar.bz2", "w:bz2", compresslevel=1) as tar:
        for path in [*sorted(info.iterdir()), *(root / entry["_path"] for entry in entries)]:
            tar.add(path, arcname=str(path.relative_to(root)))
    shutil.rmtree(root)


def index(subdir: Path) -> None:
    """Write the index of one platform of the channel."""
    packages = {}
    for file in subdir.glob("*.tar.bz2"):
        with tarfile.open(file) as tar:
            about = json.load(tar.extractfile("info/index.json"))
        content = file.read_bytes()
        digests = {name: hashlib.new(name, content).hexdigest() for name in ("md5", "sha256")}
        packages[file.name] = {**about, **digests, "size": len(content)}
    whole = {"info": {"subdir": subdir.name}, "packages": packages, "packages.conda": {}, "repodata_version": 1}
    (subdir / "repodata.json").write_text(json.dumps(whole))
