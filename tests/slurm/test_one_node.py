"""The one-node SLURM keeps its hands off what is not its own, and says why it cannot run."""

from __future__ import annotations

import pytest

from tests.slurm import one_node


@pytest.fixture
def etc(tmp_path, monkeypatch):
    """A stand-in for /etc/slurm; every program is there."""
    folder = tmp_path / "etc"
    folder.mkdir()
    monkeypatch.setattr(one_node, "ETC", folder)
    monkeypatch.setattr(one_node, "_missing", list)
    monkeypatch.setattr(one_node.os, "geteuid", lambda: 0)
    return folder


def test_another_slurm_is_left_alone(etc, tmp_path):
    (etc / "slurm.conf").write_text("ClusterName=theirs\n")
    with pytest.raises(one_node.NoSlurm, match="belongs to another SLURM"):
        one_node.up(tmp_path / "node")
    one_node.down(tmp_path / "node")
    assert (etc / "slurm.conf").read_text() == "ClusterName=theirs\n"


def test_one_that_cannot_start_leaves_nothing(etc, tmp_path, monkeypatch):
    def run(*command, timeout_s=60):
        return one_node.subprocess.CompletedProcess(command, 1, "", "no such luck")

    monkeypatch.setattr(one_node, "_run", run)
    with pytest.raises(one_node.NoSlurm, match="no such luck"):
        one_node.up(tmp_path / "node")
    assert not list(etc.iterdir())


def test_only_the_own_configuration_is_removed(etc, tmp_path):
    (etc / "slurm.conf").write_text(one_node.configuration(tmp_path / "other"))
    one_node.down(tmp_path / "node")
    assert (etc / "slurm.conf").exists()
    one_node.down(tmp_path / "other")
    assert not (etc / "slurm.conf").exists()


def test_what_is_missing_and_cannot_be_installed_is_named(monkeypatch):
    monkeypatch.setattr(one_node.shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(one_node.os, "geteuid", lambda: 1000)
    with pytest.raises(one_node.NoSlurm, match=r"sbatch.* not found; install slurmctld slurmd slurm-client munge"):
        one_node.install()


def test_what_apt_get_says_is_told(monkeypatch):
    def run(*command, timeout_s=60):
        return one_node.subprocess.CompletedProcess(command, 100, "", "E: Unable to locate package")

    monkeypatch.setattr(one_node, "_run", run)
    monkeypatch.setattr(one_node, "_missing", lambda: ["sbatch"])
    monkeypatch.setattr(one_node.os, "geteuid", lambda: 0)
    monkeypatch.setattr(one_node.shutil, "which", lambda *_, **__: "/usr/bin/apt-get")
    with pytest.raises(one_node.NoSlurm, match="Unable to locate package"):
        one_node.install()
