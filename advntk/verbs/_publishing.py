"""What the verbs ``publish``, ``missing`` and ``accept`` have in common: a suite published in parts."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from advntk import arguments

REFERENCE = Path("results/reference")
PARTS = """\
a long suite in parts, on one machine after the other:
  advntk missing --configfile suites/fashion.yaml                 what is not published yet
  snakemake --cores all --configfile suites/fashion.yaml -- $(advntk missing --configfile suites/fashion.yaml --targets)
  advntk publish --add --suite results/fashion/suite.json --out results/reference/fashion
The last may run at any time, also after the second was stopped: it takes what is finished. Commit the folder. If the
code changed between two parts, run one published cell again, then:
  advntk accept --suite results/fashion/suite.json
"""


class PublishedOptions(arguments.Options):
    """A published suite."""

    published: Path | None = Field(
        default=None, description=f"folder of the published suite (default: {REFERENCE}/SUITE)"
    )
