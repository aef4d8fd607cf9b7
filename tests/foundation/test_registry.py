"""A folder of entries holds whatever users put there; a bad file hurts nobody but who names it."""

from __future__ import annotations

import sys

import pytest

from advntk.foundation import registry
from advntk.foundation.errors import ConfigError
from advntk.planning import entries


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A registry package of its own with a good entry; a function that adds a file."""
    folder = tmp_path / "shelf_of_a_test"
    folder.mkdir()
    monkeypatch.syspath_prepend(tmp_path)

    def add(name: str, text: str) -> None:
        (folder / name).write_text(text)

    add("__init__.py", "")
    add("good.py", '"""A good one."""\nENTRY = object()\n')
    yield add
    for name in [name for name in sys.modules if name.partition(".")[0] == folder.name]:
        del sys.modules[name]


BAD = {
    "missing.py": ("import no_such_library\n", r"ModuleNotFoundError: No module named 'no_such_library'"),
    "wrong.py": ("ENTRY = (\n", "SyntaxError"),
    "raises.py": ("raise RuntimeError('boom')\n", "RuntimeError: boom"),
    "empty.py": ("", "defines no ENTRY"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_entry_is_an_error_only_where_it_is_named(shelf, name):
    text, told = BAD[name]
    shelf(name, text)
    with pytest.raises(ConfigError, match=told) as caught:
        registry.get("shelf_of_a_test", name.removesuffix(".py"))
    assert caught.value.where == f"shelf_of_a_test/{name}"
    assert registry.get("shelf_of_a_test", "good") is not None


def test_the_list_of_entries_shows_bad_ones_beside_the_good(shelf, monkeypatch):
    monkeypatch.setattr(entries, "KINDS", {"shelf": "shelf_of_a_test"})
    for name, (text, _) in BAD.items():
        shelf(name, text)
    shelf("good copy.py", "ENTRY = 1\n")
    shelf("_private.py", "raise RuntimeError\n")
    lines = {line.split("  ")[1]: line for line in list(entries.overview(["shelf"]))[1:]}
    assert lines["good"].endswith("A good one.")
    assert all("cannot be used: " in lines[name.removesuffix(".py")] for name in BAD)
    assert "cannot be used: " in lines["good copy.py"]
    assert not any("_private" in line for line in lines.values())
    assert registry.names("shelf_of_a_test") == ["empty", "good", "missing", "raises", "wrong"]
