"""What a run prints, from the messages that Snakemake would give."""

import io
import logging
import re

import pytest
import yaml
from snakemake.logging import DefaultFormatter
from snakemake_interface_logger_plugins.common import LogEvent

from advntk import suite as suites
from advntk import terminal
from advntk.foundation import files
from advntk.workflow import Jobs
from tests.test_docs import ROOT

WILDCARDS = {"dataset": "digits", "seed": 0, "architecture": "mlp-3", "method": "at", "eps255": 16, "attack": "pgd"}
NAME = "digits.seed0.mlp-3.at.eps16.pgd"


@pytest.fixture
def jobs(tmp_path):
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    return Jobs(suites.resolve(config | {"results": str(tmp_path)}), ROOT)


@pytest.fixture
def said(jobs, monkeypatch):
    """Says something as Snakemake does, and gives what a terminal then shows."""
    logger, stream = logging.Logger("snakemake"), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.name = "DefaultStreamHandler"
    handler.setFormatter(DefaultFormatter())
    logger.addHandler(handler)
    monkeypatch.setattr(terminal, "logger", logger)

    def say(message, level=logging.INFO, **extra):
        stream.seek(0)
        stream.truncate()
        logger.log(level, message, extra=extra)
        return stream.getvalue()

    def attached(**settings):
        terminal.attach(jobs, **{"quiet": None, "own_blocks": False, **settings})
        return say

    return attached


def info(rule, output=(), jobid=7):
    return {
        **{"event": LogEvent.JOB_INFO, "jobid": jobid, "rule_name": rule, "rule_msg": None, "output": list(output)},
        **{"wildcards": WILDCARDS, "log": [], "input": [], "benchmark": None, "reason": "", "priority": 0},
        **{"threads": 1, "resources": {}, "local": False, "is_checkpoint": False},
    }


def error(log, jobid=7, message=None):
    return {
        **{"event": LogEvent.JOB_ERROR, "jobid": jobid, "rule_name": "evaluate", "rule_msg": message},
        **{"log": [str(log)], "output": [], "level": logging.ERROR},
    }


def record(folder, **evaluations):
    path = folder / "pgd.json"
    found = {name: {"clean_accuracy": clean, "robust_accuracy": robust, "flags": flags}
             for name, (clean, robust, flags) in evaluations.items()}  # fmt: skip
    files.write_json(path, {"evaluations": found})
    return path


def test_a_finished_evaluation_is_a_line_with_accuracies_and_its_warnings_in_full(said, tmp_path):
    say = said()
    assert "3 jobs (2 evaluate, 1 fit)" in say("", event=LogEvent.RUN_INFO, stats={"evaluate": 2, "fit": 1, "total": 3})
    path = record(tmp_path, last=(0.95, 0.52, ["gradients vanish on 3 of 9 images"]), best_val=(0.9, 0.625, []))
    assert say("Rule: evaluate", **info("evaluate", [path])) == ""
    head, warning = say("Finished jobid: 7", event=LogEvent.JOB_FINISHED, job_id=7).splitlines()
    assert re.fullmatch(
        rf"\[1/3, about .* left\] evaluate {NAME}: last clean 95\.0%, robust 52\.0%; "
        r"best_val clean 90\.0%, robust 62\.5%",
        head,
    )
    assert warning.strip() == "warning: last: gradients vanish on 3 of 9 images"
    assert say(None, event=LogEvent.PROGRESS, done=1, total=4) == ""


def test_what_is_left_is_weighted_by_what_jobs_of_a_rule_are_expected_to_take(said, monkeypatch):
    clock = iter([0.0, 0.0, 0.0, 100.0, 100.0])
    monkeypatch.setattr(terminal.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(terminal.Lines, "_work", {"gram": 1.0, "train": 9.0})
    say = said()
    say("", event=LogEvent.RUN_INFO, stats={"gram": 1, "train": 1, "total": 2})
    say("", **info("gram"))
    assert "[1/2, about 15 min left] gram" in say("", event=LogEvent.JOB_FINISHED, job_id=7)


def test_a_failed_job_is_the_last_line_of_its_log(said, tmp_path):
    say, log = said(), tmp_path / "job.log"
    log.write_text("step 1\nstep 2\nadvntk evaluate: error: out of memory; lower memory_mb\n\n")
    say("", **info("evaluate"))
    first, message, place = say("", **error(log, message="SLURM-job '2' failed")).splitlines()
    assert first == f"Error in rule evaluate {NAME}: advntk evaluate: error: out of memory; lower memory_mb"
    assert message.strip() == "message: SLURM-job '2' failed"
    assert place.strip() == f"log: {log}"


def test_other_messages_stay_as_they_are(said):
    say = said()
    assert say("Nothing to be done (all requested files are present and up to date).").startswith("Nothing to be done")
    assert "disk full" in say("disk full", logging.WARNING)
    assert say("Select jobs to execute...") == ""


def test_quiet_leaves_errors_only(said, tmp_path):
    say = said(quiet={"rules"})
    assert say("", event=LogEvent.RUN_INFO, stats={"evaluate": 1, "total": 1}) == ""
    say("", **info("evaluate"))
    assert "it left no message" in say("", **error(tmp_path / "none.log"))


def test_a_record_that_cannot_be_read_does_not_end_the_run(said, tmp_path, capsys):
    say = said()
    say("", event=LogEvent.RUN_INFO, stats={"evaluate": 1, "total": 1})
    say("", **info("evaluate", [tmp_path / "none.json"]))
    assert say("", event=LogEvent.JOB_FINISHED, job_id=7) == ""
    assert "none.json: file not found" in capsys.readouterr().err


def test_snakemakes_own_blocks_stay_where_they_are_asked_for(said):
    say = said(own_blocks=True)
    assert "Finished jobid: 7" in say("Finished jobid: 7", event=LogEvent.JOB_FINISHED, job_id=7)


def test_the_last_lines_are_the_table_and_where_all_lies(jobs):
    root = jobs.suite.root
    files.write_text(
        f"{root}/tables/robust_accuracy.md", "# T\n\n* attack\n\n## digits\n\ncaption\n\n| a |\n|--|\n| 1 |\n"
    )
    files.write_text(f"{root}/index.html", "")
    assert terminal.summary(jobs).split("\n") == [
        "", "digits", "| a |", "|--|", "| 1 |", "", f"page:    {root}/index.html", f"tables:  {root}/tables",
    ]  # fmt: skip
