"""What a run of the workflow prints: a line for each finished job, warnings, the error of a job that failed."""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, TextIO

from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent

from advntk.foundation import files
from advntk.planning.jobs import jobs_of
from advntk.step import steps
from advntk.workflow import Jobs

_REPLACED = {
    LogEvent.JOB_INFO,
    LogEvent.JOB_STARTED,
    LogEvent.JOB_FINISHED,
    LogEvent.JOB_ERROR,
    LogEvent.SHELLCMD,
    LogEvent.PROGRESS,
    LogEvent.RUN_INFO,
    LogEvent.RESOURCES_INFO,
    LogEvent.WORKFLOW_STARTED,
}
"""Snakemake's messages of which the lines here take the place; its log in ``.snakemake/log`` keeps them."""
_LEFT_OUT = (
    "Using shell:",
    "Select jobs to execute...",
    "Group jobs: inactive",
    "Conda environments: ignored",
    "Singularity containers: ignored",
    "Exiting because a job execution failed.",
    "RuleException:\nCalledProcessError",
)
"""How messages begin that say nothing of a run that a reader would act on."""
_NAMES = 4  # of rules in the first line
_TABLE = 40  # lines of the last table


def attach(jobs: Jobs, *, quiet: Iterable[Any] | None, own_blocks: bool) -> None:
    """Print lines instead of Snakemake's blocks, unless these are asked for or another logger writes to the terminal.

    Args:
        jobs: of the suite.
        quiet: what ``--quiet`` names: of these lines too, only errors are printed then.
        own_blocks: leave Snakemake's messages as they are.
    """
    default = next((handler for handler in logger.handlers if handler.name == "DefaultStreamHandler"), None)
    if isinstance(default, logging.StreamHandler) and not own_blocks:
        default.addFilter(_kept)
        logger.addHandler(Lines(jobs=jobs, errors_only=bool(quiet), stream=default.stream))


def _kept(record: logging.LogRecord) -> bool:
    return getattr(record, "event", None) not in _REPLACED and not str(record.msg).startswith(_LEFT_OUT)


@dataclass
class _Started:
    """A job that runs, by what Snakemake says of it."""

    rule: str
    name: str
    outputs: list[str]
    at: float = field(default_factory=time.monotonic)


class Lines(logging.Handler):
    """Prints a line for each finished job: how far the run is, what is left, what the job is and what it found."""

    def __init__(self, *, jobs: Jobs, errors_only: bool, stream: TextIO) -> None:
        super().__init__(logging.INFO)
        self._jobs, self._errors_only, self._stream = jobs, errors_only, stream
        self._running: dict[int, _Started] = {}
        self._asked, self._done = Counter[str](), Counter[str]()
        self._began = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        """Print what a message of Snakemake says; a failure of this must not end the run."""
        try:
            self._emit(record)
        except Exception:  # whatever a line fails on, such as a record that another program wrote: logging reports it
            self.handleError(record)

    def _emit(self, record: logging.LogRecord) -> None:
        told: dict[str, Any] = record.__dict__
        lines: Iterable[str] = ()
        match told.get("event"):
            case LogEvent.RUN_INFO:
                lines = self._begins(told["stats"])
            case LogEvent.JOB_INFO:
                started = _Started(told["rule_name"], _name(told), list(told["output"]))
                self._running[told["jobid"]] = started
            case LogEvent.JOB_FINISHED:
                lines = self._finished(self._running.pop(told["job_id"], None))
            case LogEvent.JOB_ERROR:
                lines = _failed(self._running.pop(told["jobid"], None), told)
        if record.levelno >= logging.ERROR or not self._errors_only:
            for line in lines:
                print(line, file=self._stream, flush=True)

    def _begins(self, stats: Mapping[str, int]) -> Iterator[str]:
        """How many jobs there are, most of which rules."""
        self._asked = Counter({rule: count for rule, count in stats.items() if rule not in ("total", "all")})
        self._began = time.monotonic()
        most = [f"{count} {rule}" for rule, count in self._asked.most_common(_NAMES)]
        more = ["…"] if len(self._asked) > _NAMES else []
        jobs = "job" if self._asked.total() == 1 else "jobs"
        yield f"suite {self._jobs.suite.config.suite}: {self._asked.total()} {jobs} ({', '.join(most + more)})"

    def _finished(self, job: _Started | None) -> Iterator[str]:
        """The line of a job, and the warnings that it raised."""
        if job is None or job.rule not in self._asked:  # all, which computes nothing
            return
        self._done[job.rule] += 1
        done, total = self._done.total(), self._asked.total()
        seconds = time.monotonic() - job.at
        found, warnings = _found(job)
        head = f"[{done:{len(str(total))}}/{total}, {self._left()}]"
        yield f"{head} {job.rule} {job.name}: {found or _time(seconds)}"
        yield from (f"    warning: {warning}" for warning in warnings)

    def _left(self) -> str:
        """How long the rest takes, if jobs go on as fast as those before them compared with what is expected."""
        share = sum(self._work[rule] * count for rule, count in self._done.items())
        rest = sum(self._work[rule] * (count - self._done[rule]) for rule, count in self._asked.items())
        elapsed = time.monotonic() - self._began
        return f"about {_time(elapsed * rest / share)} left" if rest > 0 else "done"

    @cached_property
    def _work(self) -> defaultdict[str, float]:
        """Expected seconds of a job of each rule, from the costs that the checkout keeps; else those of the others."""
        estimate, found = self._jobs.measurements.estimate, defaultdict[str, list[float]](list)
        for job in jobs_of(self._jobs.suite):
            time = estimate(job.need, gpu=job.gpu) or estimate(job.need, gpu=job.gpu, any_method=True)
            if time:
                found[job.rule].append(time.lasts_s(job.need.threads))
        means = {rule: max(fmean(values), 0.1) for rule, values in found.items()}
        usual = min(means.values(), default=1.0)  # short jobs, such as tables, are those without costs
        return defaultdict(lambda: usual, means)


def _name(told: Mapping[str, Any]) -> str:
    """A job's name, as its log has it."""
    step = steps().get(told["rule_name"])
    return step.job.format(**told["wildcards"]) if step else told["rule_name"]


def _found(job: _Started) -> tuple[str, list[str]]:
    """What a job found, in words, and its warnings; of those that measure accuracy."""
    step = steps().get(job.rule)
    if step is None or step.listed != "records":
        return "", []
    evaluations: dict[str, dict[str, Any]] = files.read_json(Path(job.outputs[0]))["evaluations"]
    found = [
        f"{name} clean {100 * one['clean_accuracy']:.1f}%, robust {100 * one['robust_accuracy']:.1f}%"
        for name, one in evaluations.items()
    ]
    return "; ".join(found), [f"{name}: {flag}" for name, one in evaluations.items() for flag in one["flags"]]


def _failed(job: _Started | None, told: Mapping[str, Any]) -> Iterator[str]:
    """The error of a job: the last line of its log, what a scheduler says of it, and where the whole log lies."""
    logs = [Path(place) for place in told["log"]]
    texts = [path.read_text(encoding="utf-8", errors="replace").splitlines() for path in logs if path.is_file()]
    last = next((line for lines in texts for line in reversed(lines) if line.strip()), "it left no message")
    yield f"Error in rule {told['rule_name']}{f' {job.name}' if job else ''}: {last.strip()}"
    yield from ([f"    message: {told['rule_msg']}"] if told["rule_msg"] else [])
    yield from (f"    log: {path}" for path in logs if path.is_file())


def _time(seconds: float) -> str:
    """``45 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def summary(jobs: Jobs) -> str:
    """The last lines of a run that succeeded: the table of accuracies, and where everything lies."""
    root, lines = Path(jobs.suite.root), []
    table = root / "tables/robust_accuracy.md"
    if table.is_file():
        rows = [line for line in table.read_text(encoding="utf-8").splitlines() if line.startswith(("## ", "|", "* ["))]
        lines = ["", *(row.removeprefix("## ") for row in rows[:_TABLE])]
        lines += [f"… {len(rows) - _TABLE} more lines"] if len(rows) > _TABLE else []
    places = {"page": "index.html", "tables": "tables", "figures": "figures"}
    lines += ["", *(f"{what + ':':9}{root / place}" for what, place in places.items() if (root / place).exists())]
    return "\n".join(lines)
