"""The verb list: every entry of every registry in a line, its options with their defaults, one's own too."""

from __future__ import annotations

import pytest

from advntk.cli import main
from advntk.foundation import registry
from advntk.foundation.architecture import Architecture
from advntk.foundation.options import Closed
from advntk.learning.methods.ntk import Options
from advntk.planning.entries import KINDS, details, overview


def test_every_entry_has_a_line_and_every_option_its_own():
    assert list(overview(list(KINDS))) == [line for kind in KINDS for line in overview([kind])]
    for kind, package in KINDS.items():
        head, *lines = overview([kind])
        assert head == f"{kind} ({package.replace('.', '/')})"
        for name in registry.names(package):
            (line,) = [one for one in lines if one.split()[0] == name]
            assert len(line.split()) > 2  # says something
            options = getattr(registry.get(package, name), "options", Architecture if kind == "families" else Closed)
            shown = "\n".join(details(kind, name))
            assert all(f"\n  {key}" in shown for key in options.model_fields)


def test_defaults_are_those_of_the_code(capsys):
    assert main(["list", "methods", "at"]) == 0
    told = capsys.readouterr().out
    assert "\n  steps = (to be given): weight updates\n" in told
    assert "\n  momentum = 0.9: " in told
    assert "\n    step_ratio = 0.2: " in told  # of the attack, below it
    assert f"ridge = {Options().ridge}: " in "\n".join(details("methods", "ntk"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["method"], "unknown kind 'method' (did you mean 'methods'?)"),
        (["attacks", "autoatack"], "unknown entry 'autoatack' (did you mean 'autoattack'?)"),
    ],
)
def test_a_wrong_word_is_told_with_the_nearest(capsys, arguments, told):
    assert main(["list", *arguments]) == 1
    assert told in capsys.readouterr().err
