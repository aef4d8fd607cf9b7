"""An attack as a suite or a command line asks for it: a registry entry with options, under a name of the user's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from advntk.attacks.attack import Attack
from advntk.foundation import registry
from advntk.foundation.options import validated
from advntk.foundation.records import AttackRecord


@dataclass(frozen=True, kw_only=True)
class NamedAttack:
    """An attack with all its settings but threat model and seed.

    Attributes:
        name: in tables and paths.
        kind: the registry entry's name.
        options: of the entry, checked.
    """

    name: str
    kind: str
    entry: Attack
    options: Any

    @classmethod
    def of(cls, name: str, given: Mapping[str, Any], *, kind: str = "", where: str) -> NamedAttack:
        """An attack by its options, checked.

        Args:
            name: in tables and paths.
            given: options of the entry; ``kind`` may be among them.
            kind: the registry entry; by default what ``given`` says, or the name.
            where: what the options are called, for messages.

        Returns:
            The attack. (An unknown kind or option raises ``ConfigError``.)
        """
        kind = kind or str(given.get("kind", name))
        entry: Attack = registry.get(registry.ATTACKS, kind)
        options = {key: value for key, value in given.items() if key != "kind"}
        return cls(name=name, kind=kind, entry=entry, options=validated(entry.options, options, where))

    @property
    def chunks(self) -> int:
        """Number of parts of the test images that are jobs of their own; 0: the evaluation attacks by itself."""
        return int(self.options.chunks) if self.entry.chunked else 0

    def record(self, seed: int) -> AttackRecord:
        """As it stands in records."""
        return AttackRecord(
            name=self.name,
            kind=self.kind,
            options=self.options.model_dump(mode="json"),
            inside_threat_model=self.entry.inside_threat_model,
            seed=seed,
        )
