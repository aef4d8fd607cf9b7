"""One SLURM for all tests, a checkout for each, and faults that a file switches on and off."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import PROFILE, ask, jobs, records
from tests.slurm.one_node import NoSlurm, one_node
from tests.workflow.conftest import Checkout

FAULT = """
    from pathlib import Path as _Path
    if _Path("fault").exists():
        verb, kind, amount = _Path("fault").read_text().split()
        if words[:1] == [verb]:
            held = b"x" * (int(amount) << 20) if kind == "hold_mb" else b""
            __import__("time").sleep(5 if held else int(amount))
"""
"""At the start of every verb: hold memory for a moment, or sleep, if the file ``fault`` says so of this verb."""


class Cluster(Checkout):
    """A checkout whose jobs go to SLURM."""

    target = "results/tiny/records/digits/seed0/mlp-2/at/eps16/pgd.json"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.suite()
        module = folder / "advntk/cli.py"
        source = module.read_text(encoding="utf-8")
        line = "    words = sys.argv[1:] if argv is None else list(argv)\n"
        assert source.count(line) == 1
        module.write_text(source.replace(line, line + FAULT), encoding="utf-8")

    def fault(self, *words: object) -> None:
        """Switch a fault on, or off without words."""
        path = self.folder / "fault"
        path.write_text(" ".join(map(str, words))) if words else path.unlink()

    def through(self, *arguments: str, expect: int = 0) -> str:
        """Run through SLURM and wait."""
        with self.started(*arguments) as process:
            process.wait(timeout=600)
        assert process.returncode == expect, self.log()[-6000:]
        return self.log()

    def started(self, *arguments: str) -> Background:
        """Start a run through SLURM."""
        return Background(self, arguments)

    def jobs(self) -> dict[str, dict[str, str]]:
        """Jobs of this checkout that SLURM remembers."""
        return {number: facts for number, facts in jobs().items() if facts["WorkDir"] == str(self.folder)}

    def log(self) -> str:
        """What the last run said."""
        return (self.folder / "run.log").read_text(encoding="utf-8")

    def found(self) -> dict[str, dict]:
        """Records of the tiny suite."""
        return records(self.folder / "results/tiny")


def heeds_sigint() -> None:
    """A test runner that a script started in the background ignores SIGINT, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Background:
    """A run through SLURM that is going on; ended with the block, whatever happens in it."""

    def __init__(self, cluster: Cluster, arguments: tuple[str, ...]) -> None:
        self.command = cluster.command(*PROFILE, "--configfile", "tiny.yaml", *arguments)
        self.cluster = cluster

    def __enter__(self) -> subprocess.Popen[bytes]:
        environment = self.cluster.environment() | {"OMP_NUM_THREADS": "1"}
        with (self.cluster.folder / "run.log").open("w") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.cluster.folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=heeds_sigint,
            )
        return self.process

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@pytest.fixture(scope="session")
def node() -> Iterator[Path]:
    """A SLURM that is up; where it cannot be, the tests fail and say why."""
    try:
        with one_node() as folder:
            yield folder
    except NoSlurm as error:
        pytest.fail(f"no SLURM: {error}", pytrace=False)


@pytest.fixture
def cluster(node, tmp_path) -> Iterator[Cluster]:
    """A checkout for a test; no job outlives it."""
    assert os.access(node, os.R_OK)
    made = Cluster(tmp_path)
    yield made
    if made.jobs():
        ask("scancel", *made.jobs())


@pytest.fixture(scope="session")
def local(tmp_path_factory) -> dict[str, dict]:
    """Records of the tiny suite, run here without SLURM."""
    checkout = Cluster(tmp_path_factory.mktemp("local"))
    checkout.run("--cores", "2", "--configfile", "tiny.yaml")
    found = checkout.found()
    assert len(found) == 4
    return found
