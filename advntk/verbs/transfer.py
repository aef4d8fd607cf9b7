"""Show the perturbed images of each predictor to all others of the same split."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from advntk.foundation.errors import ConfigError
from advntk.verbs import _options


class Options(_options.ComputeOptions):
    """Of the verb ``transfer``."""

    records: list[Path] = Field(description="of evaluations that kept their images")
    fits: list[Path] = Field(description="folder of each record's fit, in this order")
    out: Path = Field(description="json to write; outcomes (npz) go beside it")


def run(options: Options) -> None:
    """Show the images.

    Raises:
        ConfigError: the records are not as many as the fits.
    """
    from advntk.measuring.transfer import transfer

    records, fits = options.records, options.fits
    if len(records) != len(fits):
        raise ConfigError(
            f"{len(records)} records and {len(fits)} fits", where="--fits", remedy="give one fit a record"
        )
    transfer(records, fits, out=options.out, compute=options.compute, threads=options.threads)
