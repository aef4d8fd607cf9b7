"""One method against all others: differences of robust accuracy with intervals, for a page."""

from __future__ import annotations

from collections.abc import Sequence

from advntk.telling.comparisons import SIGNIFICANCE, Comparison, adjusted, assumptions, comparisons, seeds_in_words
from advntk.telling.labels import NORMS, method_label
from advntk.telling.listing import EMPTY, Listing
from advntk.telling.suite_file import Suite

Told = tuple[Comparison, float]
"""A comparison and its p, adjusted over all comparisons of the suite."""


def differences(suite: Suite, method: str = "advntk") -> dict[str, Listing]:
    """A Markdown table by dataset; none where the suite has no comparison with the method."""
    mine = [(one, p) for one, p in adjusted(comparisons(suite)) if method in (one.a[0], one.b[0])]
    by_dataset = {name: [(one, p) for one, p in mine if one.dataset == name] for name in suite.config.datasets}
    return {name: _listing(suite, method, chosen) for name, chosen in by_dataset.items() if chosen}


def _listing(suite: Suite, method: str, chosen: Sequence[Told]) -> Listing:
    others = {_other(one, method)[0]: method_label(*_other(one, method)) for one, _ in chosen}
    others = {name: others[name] for name in suite.config.methods if name in others}
    own = method_label(*next(one.a if one.a[0] == method else one.b for one, _ in chosen))
    most = max(one.seeds for one, _ in chosen)
    lines = []
    for spec in suite.config.specs():
        for eps255 in suite.config.eps255:
            for attack in suite.config.attacks:
                place = (spec.label, eps255, attack)
                cells = {
                    _other(one, method)[0]: _cell(one, p, method, most=most)
                    for one, p in chosen
                    if (one.spec.label, one.eps255, one.attack) == place
                }
                if cells:
                    lines.append([spec.label, f"{eps255:g}/255", attack, *(cells.get(name, EMPTY) for name in others)])
    first = chosen[0][0]
    return Listing(
        title=f"{method_label(method)} against the other methods",
        caption=(
            f"Robust accuracy of {own} minus that of the method that the column names, under the attack of the line "
            f"({NORMS[suite.config.norm]}), in percentage points with the 95% interval over seeds and pairs "
            "of outcomes on the same images. Bold: significant, p adjusted by Holm over all comparisons of the suite, "
            f"at {SIGNIFICANCE:g}. n_test = {first.n_test}, "
            f"seeds = {seeds_in_words([one for one, _ in chosen])}."
        ),
        head=["network", "ε", "attack", *(f"− {name}" for name in others.values())],
        lines=lines,
        notes=assumptions([one for one, _ in chosen]),
        words=3,
    )


def _other(one: Comparison, method: str) -> tuple[str, str]:
    """The method that stands beside this one, and its checkpoint."""
    return one.b if one.a[0] == method else one.a


def _cell(one: Comparison, p: float, method: str, *, most: int) -> str:
    """The difference with its interval, and the number of seeds where others have more."""
    mean, low, high = (100 * value for value in one.difference)
    if one.a[0] != method:
        mean, low, high = -mean, -high, -low
    text = f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"
    text = f"**{text}**" if p <= SIGNIFICANCE else text
    return text if one.seeds == most else f"{text} ({one.seeds} of {most} seeds)"
