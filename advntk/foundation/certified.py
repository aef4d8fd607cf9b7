"""What is certified in a suite, and what that leaves behind: typed JSON, like records."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from advntk.foundation.architecture import Architecture
from advntk.foundation.options import Closed
from advntk.foundation.records import AttackRecord, read_model
from advntk.foundation.threat import Norm, ThreatModel

Status = Literal["certified", "broken", "undecided"]


class BoundOptions(Closed):
    """Which lower bounds of a margin are tried, and for how long (``docs/certificates.md``)."""

    bounds: Literal["b", "bc", "bcd"] = Field(
        default="bcd", description="bounds to try, each tighter and slower than the one before: b, bc or bcd"
    )
    budget_s: float | None = Field(
        default=None, ge=0, description="seconds of an image and radius after which no bound begins; null: no limit"
    )


class CertificateOptions(BoundOptions):
    """What is certified; nothing where no radius is given."""

    radii: list[float] = Field(
        default=[],
        description="radii in 1/255 to certify; a fit trained for one of eps255 leaves the others to their fits",
    )
    images: int = Field(default=0, ge=0, description="test images that are certified, the first ones; 0: all")
    attack: str = Field(
        default="pgd_strong", description="attack that is tried first, by its name in attack_options: a kind of pgd"
    )

    @field_validator("radii")
    @classmethod
    def _positive_and_rising(cls, radii: list[float]) -> list[float]:
        if radii != sorted(set(radii)) or any(radius <= 0 for radius in radii):
            raise ValueError("radii must rise and be positive")
        return radii


class CertifiedRadius(Closed):
    """One predictor at one radius.

    Attributes:
        eps255: radius in 1/255.
        certified_interval: 95% Wilson interval of the share of certified images, for these images.
        unbroken_interval: of the share of images that are not broken: robust accuracy is at most this share.
        decided: images by what decided them: ``clean``, ``attack``, ``b``, ``c`` or ``d``.
        seconds: that the bounds took, for all images; 0 for those that a larger radius decided.
        status: of each image, its first letter.
    """

    eps255: float
    certified: int
    broken: int
    undecided: int
    certified_interval: tuple[float, float]
    unbroken_interval: tuple[float, float]
    decided: dict[str, int]
    seconds: float
    status: str


class Certificates(Closed):
    """What is proven of one fit; margins and seconds of each image lie beside it.

    Attributes:
        norm: of the threat model.
        attack: that was tried before any bound.
        n_test: images, the first ones of the split's test images.
        checkpoints: radii of each, rising.
        timing: ``attack_s`` and ``wall_s`` in seconds, ``peak_mb``.
    """

    schema_version: Literal["advntk-certificates-1"] = "advntk-certificates-1"
    dataset: str
    architecture: Architecture
    method: str
    trained_at: ThreatModel | None
    seed: int
    split_hash: str
    norm: Norm
    attack: AttackRecord
    options: BoundOptions
    n_test: int
    checkpoints: dict[str, list[CertifiedRadius]]
    provenance: dict[str, Any]
    timing: dict[str, float]


def read_certificates(path: str | Path) -> Certificates:
    """Read and check certificates; a wrong file is an ``InputError``."""
    return read_model(path, Certificates, "file of certificates")
