"""Folders of entries outside the package: found beside ours, never in place of them, and part of digests."""

from __future__ import annotations

import itertools
import sys

import pytest

from advntk.foundation import provenance, registry
from advntk.foundation.errors import ConfigError
from advntk.foundation.roots import behind
from advntk.planning import entries

NUMBERS = itertools.count()
ENTRY = (
    '"""An attack of one\'s own."""\n\nfrom . import _shared\nfrom ..helpers import deep\n\nENTRY = (_shared, deep)\n'
)


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A folder with an attack, under a name that no other test has; forgotten afterwards."""
    monkeypatch.setenv(registry.PLUGINS, "")
    monkeypatch.setattr(sys, "path", [*sys.path])
    folder = tmp_path / f"plugin_of_a_test_{next(NUMBERS)}"
    for place, text in {
        "attacks/mine.py": ENTRY,
        "attacks/_shared.py": "import beside_a_plugin\n",
        "helpers/__init__.py": "",
        "helpers/deep.py": "",
        "../beside_a_plugin.py": "",
    }.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text)
    yield folder
    for name in [name for name in sys.modules if name.startswith((folder.name, "beside_a_plugin"))]:
        del sys.modules[name]


def test_an_entry_is_found_beside_those_of_the_package(plugin):
    before = registry.names(registry.ATTACKS)
    registry.use([plugin])
    assert registry.names(registry.ATTACKS) == sorted([*before, "mine"])
    assert registry.names(registry.METHODS) == sorted(set(registry.names(registry.METHODS)) - {"mine"})
    assert registry.get(registry.ATTACKS, "mine")
    assert registry.module(registry.ATTACKS, "pgd") == "advntk.attacks.entries.pgd"
    (line,) = [line for line in entries.overview(["attacks"]) if line.split()[0] == "mine"]
    assert line.endswith(f"An attack of one's own. ({plugin.name}/attacks/mine.py)")


def test_its_digest_is_of_all_that_it_imports(plugin):
    registry.use([plugin])
    roots = behind("advntk.measuring.evaluate", attack="mine")
    name = plugin.name
    assert roots[1:] == (f"{name}.attacks.mine",)
    found = set(provenance.modules_behind(*roots)) - set(provenance.modules_behind(roots[0]))
    beside = {f"{name}.attacks.{part}" for part in ("mine", "_shared")} | {"beside_a_plugin"}
    assert found == beside | {f"{name}.helpers", f"{name}.helpers.deep"}


def test_folders_that_cannot_be_used_are_refused(plugin, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"plugins: .*/nowhere: no such folder"):
        registry.use([tmp_path / "nowhere"])
    for name, message in (("a-b", "Python cannot import 'a-b'; name it"), ("json", "another module 'json' .*; rename")):
        (tmp_path / name).mkdir()
        with pytest.raises(ConfigError, match=message):
            registry.use([tmp_path / name])
    (tmp_path / "parent" / "bare").mkdir(parents=True)
    (tmp_path / "bare").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "parent")
    with pytest.raises(ConfigError, match=r"another module 'bare' \(.*/parent/bare\); rename"):
        registry.use([tmp_path / "bare"])
    (tmp_path / "a:b" / "split").mkdir(parents=True)
    with pytest.raises(ConfigError, match="its path holds ':'"):
        registry.use([tmp_path / "a:b" / "split"])
    (plugin / "attacks/pgd.py").write_text("ENTRY = None\n")
    with pytest.raises(
        ConfigError, match=r"attacks/pgd\.py: there is another entry 'pgd' \(advntk\.attacks\.entries\.pgd\)"
    ):
        registry.use([plugin])
    assert registry.plugins() == []  # and are forgotten: entries of the package are found as before
    assert "pgd" in registry.names(registry.ATTACKS)
