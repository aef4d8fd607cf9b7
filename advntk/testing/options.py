"""What all contracts ask of an entry, whatever it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from advntk.foundation import registry
from advntk.foundation.options import Closed, validated


def check_described(options: type[Closed], description: str) -> None:
    """Every option says what it is, and so does the entry."""
    bare = [name for name, option in options.model_fields.items() if not option.description]
    assert not bare, f"options without a description: {', '.join(bare)}"
    assert description, "the entry says nothing about itself"


def entry_of(package: str, name: str, options: Mapping[str, Any] | None) -> tuple[Any, Any]:
    """An entry and its options."""
    entry = registry.get(package, name)
    return entry, validated(entry.options, options or {}, name)
