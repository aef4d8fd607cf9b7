"""What a theory experiment is: options, the units that it is made of, and a function from a unit to what was found."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advntk.foundation import provenance, registry
from advntk.foundation.errors import ConfigError, InputError, NumericalError, nearest
from advntk.foundation.findings import Finding, write_finding
from advntk.foundation.options import Closed, Compute
from advntk.ingredients.splits import Split

if TYPE_CHECKING:
    import numpy as np

EXPERIMENTS = registry.EXPERIMENTS
"""The registry of experiments."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A part of an experiment, one job.

    Attributes:
        name: unique in the experiment; letters, digits, ``.``, ``-`` and ``_`` only, for it is part of a path.
        seed: of all that is drawn.
        dataset: of the suite, whose split of this seed is needed; empty where inputs are drawn.
        settings: what distinguishes this unit.
    """

    name: str
    seed: int
    dataset: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


def with_seeds(key: str, values: Iterable[str | float], seeds: int, *, dataset: str = "") -> list[Unit]:
    """A unit for each value of one setting and each seed.

    Args:
        key: of the setting.
        values: of it; a name begins the units' names, a number after the key.
        seeds: how many.
        dataset: of all units.

    Returns:
        Units, value by value.
    """
    return [
        Unit(name=f"{name}.seed{seed}", seed=seed, dataset=dataset, settings={key: value})
        for value in values
        for name in [value if isinstance(value, str) else f"{key}{value:g}"]
        for seed in range(seeds)
    ]


@dataclass(frozen=True, kw_only=True)
class Study:
    """All that a unit may use.

    Attributes:
        unit: which one.
        options: of the experiment.
        split: of the unit's dataset and seed; None where it needs none.
        compute: device, engine and memory.
    """

    unit: Unit
    options: Any
    split: Split | None
    compute: Compute

    @property
    def data(self) -> Split:
        """The split, for a unit that names a dataset; without one an ``InputError``."""
        if self.split is None:
            raise InputError("no split", where=self.unit.name, remedy=f"give that of {self.unit.dataset}")
        return self.split

    def generator(self, *names: str) -> np.random.Generator:
        """Random numbers of this unit's seed, others for other names.

        Args:
            names: what they are for.

        Returns:
            A generator.
        """
        import numpy as np

        return np.random.default_rng([self.unit.seed, *("/".join(names)).encode()])


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A registry entry.

    Attributes:
        options: model of its options.
        units: its parts, from options; quick, and without heavy imports.
        run: the measurement, deterministic under the unit's seed; numbers, strings, and lists and dicts of these.
        description: one line.
        memory_mb: what a unit holds at the committed size, MiB.
    """

    options: type[Closed]
    units: Callable[[Any], Sequence[Unit]]
    run: Callable[[Study], dict[str, Any]]
    description: str
    memory_mb: int = 1500


def unit_of(entry: Experiment, options: Any, name: str) -> Unit:
    """The unit of a name.

    Args:
        entry: of the registry.
        options: of the experiment.
        name: of the unit.

    Returns:
        It.

    Raises:
        ConfigError: there is none; the message names the nearest one.
    """
    units = {unit.name: unit for unit in entry.units(options)}
    if name not in units:
        raise ConfigError(
            f"unknown unit '{name}'{nearest(name, units)}", where="--unit", remedy=f"allowed: {', '.join(units)}"
        )
    return units[name]


def run_unit(name: str, entry: Experiment, study: Study, *, out: Path, threads: int, places: dict[str, str]) -> Finding:
    """Measure one unit and write its finding.

    Args:
        name: of the experiment.
        entry: of the registry.
        study: the unit and what it may use.
        out: path of the JSON file.
        threads: for provenance.
        places: paths of what it read, relative to the folder of ``out``.

    Returns:
        What was written.

    Raises:
        ConfigError: the split is missing, or of another dataset or seed.
        NumericalError: something measured is NaN or infinite.
    """
    unit, split = study.unit, study.split
    found_at = (split.dataset, split.seed) if split is not None else ("", unit.seed)
    if found_at != (unit.dataset, unit.seed):
        raise ConfigError(
            f"unit '{unit.name}' needs the split of '{unit.dataset}', seed {unit.seed}, not {found_at}",
            where="--split",
            remedy="give the split.json of that dataset and seed" if unit.dataset else "give none",
        )
    start = time.perf_counter()
    sources = provenance.sources(f"{EXPERIMENTS}.{name}")
    found = study_found(entry, study)
    made = provenance.environment(
        study.compute.device, threads, sources=sources, data=split.data if split else "", places=places
    )
    finding = Finding(
        experiment=name,
        unit=unit.name,
        seed=unit.seed,
        dataset=unit.dataset,
        split_hash=split.hash if split else "",
        settings=unit.settings,
        options=study.options.model_dump(mode="json"),
        found=found,
        provenance=made,
        timing={"wall_s": time.perf_counter() - start, "peak_mb": provenance.peak_mb()},
    )
    write_finding(out, finding)
    return finding


def study_found(entry: Experiment, study: Study) -> dict[str, Any]:
    """What a unit finds, as plain numbers.

    Args:
        entry: of the registry.
        study: the unit and what it may use.

    Returns:
        Numbers, strings, and lists and dicts of these.

    Raises:
        NumericalError: something is NaN or infinite.
    """
    found = {name: _plain(value) for name, value in entry.run(study).items()}
    bad = [name for name, value in found.items() if not _finite(value)]
    if bad:
        raise NumericalError(
            f"{', '.join(bad)} of unit '{study.unit.name}' is NaN or infinite",
            where="experiment",
            remedy="choose smaller strengths, times or steps",
        )
    return found


def _plain(value: Any) -> Any:
    """Arrays and numpy's numbers as lists and Python's numbers."""
    import numpy as np

    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def _finite(value: Any) -> bool:
    import numpy as np

    if isinstance(value, dict):
        return all(_finite(inner) for inner in value.values())
    if isinstance(value, list):
        return all(_finite(inner) for inner in value)
    return not isinstance(value, float) or bool(np.isfinite(value))
