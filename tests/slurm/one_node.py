"""A real SLURM of one node, on the loopback interface: for the tests of marker ``slurm`` and for ``.ci/run``.

    python -m tests.slurm.one_node up DIR
    python -m tests.slurm.one_node down DIR

Debian's packages; root, no systemd, no database. Partitions ``cpu`` and ``gpu``, two GPUs that are only names. Memory
requests are enforced, and jobs are bound to the cores that they asked for, as on most clusters. SLURM's programs find
their configuration at ``/etc/slurm`` alone (``srun`` within a job forgets ``SLURM_CONF``): a ``slurm.conf`` that is not
of this module is never touched.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ETC = Path("/etc/slurm")
MARK = "# written by advntk's tests (tests/slurm/one_node.py)"
PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
PROGRAMS = ("slurmctld", "slurmd", "munged", "mungekey", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
DAEMONS = ("slurmd", "slurmctld", "munged")  # in the order in which they are stopped
GPUS = 2


class NoSlurm(RuntimeError):
    """SLURM cannot run here; the message says why."""


def _said(done: subprocess.CompletedProcess[str]) -> str:
    return f"{' '.join(done.args)}: exit {done.returncode}\n{(done.stdout + done.stderr)[-2000:]}"


def _missing() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name, path=_environment()["PATH"]) is None]


def _environment() -> dict[str, str]:
    """Daemons lie in ``sbin``, which not every shell searches."""
    return {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}


def _run(*command: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=_environment(), capture_output=True, text=True, timeout=timeout_s)


def install() -> None:
    """Install what is missing, with apt-get."""
    if not (missing := _missing()):
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise NoSlurm(f"{', '.join(missing)} not found; install {' '.join(PACKAGES)} (needs root and apt-get)")
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    done = _run("apt-get", "install", "-y", "--no-install-recommends", *PACKAGES, timeout_s=600)
    if done.returncode:  # package lists may be old or absent
        update = _run("apt-get", "update", timeout_s=300)
        done = _run("apt-get", "install", "-y", "--no-install-recommends", *PACKAGES, timeout_s=600)
        if done.returncode:
            raise NoSlurm(f"{_said(update)}\n{_said(done)}")
    if missing := _missing():
        raise NoSlurm(f"apt-get installed {' '.join(PACKAGES)}, but {', '.join(missing)} is not there")


def _memory_mb() -> int:
    with open("/proc/meminfo", encoding="utf-8") as lines:
        total_kb = next(int(line.split()[1]) for line in lines if line.startswith("MemTotal"))
    return total_kb // 1024 - 512


def configuration(folder: Path) -> str:
    """slurm.conf of the node, its state under a folder."""
    host = socket.gethostname().partition(".")[0]
    cores = len(os.sched_getaffinity(0))
    return f"""{MARK}
ClusterName=advntk
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
SwitchType=switch/none
MpiDefault=none
ReturnToService=1
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=256
GresTypes=gpu
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/log/jobcomp.txt
MinJobAge=3600
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={_memory_mb()} Gres=gpu:fake:{GPUS} State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes={host} MaxTime=INFINITE State=UP
"""


def _process(folder: Path, daemon: str) -> int | None:
    """Process id of a daemon of the folder, if it lives and is that daemon."""
    try:
        number = int((folder / f"{daemon}.pid").read_text())
        name = Path(f"/proc/{number}/comm").read_text().strip()
    except (OSError, ValueError):
        return None
    return number if name == daemon else None


def _is_of(folder: Path, text: str) -> bool:
    """Whether a configuration was written for a folder."""
    return text.startswith(MARK) and f"={folder}/" in text


def up(folder: Path) -> None:
    """Start the node; its state, logs and keys lie in the folder.

    Raises:
        NoSlurm: it cannot run here, or another SLURM is configured.
    """
    install()
    if os.geteuid() != 0:
        raise NoSlurm("a SLURM of one's own needs root")
    written = ETC / "slurm.conf"
    if written.exists():
        text = written.read_text(encoding="utf-8", errors="replace")
        if not text.startswith(MARK):
            raise NoSlurm(f"{written} belongs to another SLURM, which is left alone; move it away to run these tests")
        other = Path(next(line for line in text.splitlines() if line.startswith("StateSave")).partition("=")[2]).parent
        if any(_process(other, daemon) for daemon in DAEMONS):
            raise NoSlurm(f"one is up already; stop it with: python -m tests.slurm.one_node down {other}")
    folder = folder.resolve()
    for part in ("state", "spool", "log"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # munged insists that users can reach its socket
    for number in range(GPUS):
        (folder / f"gpu{number}").touch()
    key = folder / "munge.key"
    if not key.exists():
        _checked(_run("mungekey", "--create", f"--keyfile={key}"))
        key.chmod(0o600)
    ETC.mkdir(exist_ok=True)
    written.write_text(configuration(folder), encoding="utf-8")
    host = socket.gethostname().partition(".")[0]
    gres = f"{MARK}\nNodeName={host} Name=gpu Type=fake File={folder}/gpu[0-{GPUS - 1}]\n"
    (ETC / "gres.conf").write_text(gres, encoding="utf-8")
    try:
        files = [f"--{name}={folder}/{file}" for name, file in (
            ("socket", "munge.socket"), ("key-file", "munge.key"), ("pid-file", "munged.pid"),
            ("log-file", "log/munged.log"), ("seed-file", "munged.seed"),
        )]  # fmt: skip
        _checked(_run("munged", "--force", *files))
        _checked(_run("slurmctld"))
        _checked(_run("slurmd"))
        _wait_until_idle(folder)
    except (NoSlurm, subprocess.SubprocessError, OSError):
        down(folder)
        raise


def _checked(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode:
        raise NoSlurm(_said(done))


def _wait_until_idle(folder: Path) -> None:
    deadline = time.monotonic() + 30
    while (state := _run("sinfo", "--noheader", "--partition=cpu", "--format=%t")).stdout.strip() != "idle":
        if time.monotonic() > deadline:
            tail = (folder / "log/slurmctld.log").read_text(errors="replace")[-2000:]
            raise NoSlurm(f"the node is not idle after 30 s\n{_said(state)}\n{tail}")
        time.sleep(0.2)
    _checked(_run("srun", "--ntasks=1", "true"))


def down(folder: Path) -> None:
    """Cancel what runs, stop the daemons by their process ids, and take away what was written to ``/etc/slurm``."""
    folder = folder.resolve()
    if _process(folder, "slurmctld"):
        _run("scancel", "--user=root")
        deadline = time.monotonic() + 20
        while _run("squeue", "--noheader").stdout.strip() and time.monotonic() < deadline:
            time.sleep(0.2)
    for daemon in DAEMONS:
        if (number := _process(folder, daemon)) is None:
            continue
        os.kill(number, signal.SIGTERM)
        deadline = time.monotonic() + 10
        while _process(folder, daemon) and time.monotonic() < deadline:
            time.sleep(0.1)
        if (number := _process(folder, daemon)) is not None:
            os.kill(number, signal.SIGKILL)
    for path in (ETC / "slurm.conf", ETC / "gres.conf"):
        if path.exists() and _is_of(folder, path.read_text(encoding="utf-8", errors="replace")):
            path.unlink()


@contextlib.contextmanager
def one_node() -> Iterator[Path]:
    """The node while a block runs; gives the folder of its logs."""
    folder = Path(tempfile.mkdtemp(prefix="advntk-slurm-", dir="/tmp"))
    try:
        up(folder)
        yield folder
    finally:
        down(folder)
        shutil.rmtree(folder, ignore_errors=True)


def main(arguments: list[str]) -> int:
    """The command line."""
    match arguments:
        case ["up", folder]:
            try:
                up(Path(folder))
            except NoSlurm as error:
                print(f"one_node: error: {error}", file=sys.stderr)
                return 1
            print(_run("sinfo", "-N", "-o", "%N %t %c %m %G %P").stdout, end="")
        case ["down", folder]:
            down(Path(folder))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
