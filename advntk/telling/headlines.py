"""What a page of results opens with: kernel methods against adversarial training, suite by suite."""

from __future__ import annotations

from collections.abc import Sequence

from advntk.telling.comparisons import SIGNIFICANCE, Comparison, adjusted, comparisons
from advntk.telling.convergence import unconverged
from advntk.telling.labels import method_label, radius_label
from advntk.telling.listing import EMPTY, aligned
from advntk.telling.suite_file import Suite

BASELINE = "at"
CHALLENGERS = ("advntk", "early_stopped_ntk", "ridge_ntk")
Place = tuple[str, str, float]
"""Dataset, network and radius."""


def headlines(suites: Sequence[Suite]) -> str:
    """Which of the kernel methods is more robust than AT, over all suites that compare them.

    Of several attacks that one counts which leaves the compared methods the least robust accuracy on average.

    Returns:
        Markdown: a sentence on each method, and a table; a sentence alone where no suite compares them.
    """
    lines, verdicts = [], dict[str, list[str]]()
    left_out = []
    for suite in suites:
        name = suite.config.suite
        if any(method == BASELINE for _, _, method, _ in unconverged(suite)):
            left_out.append(name)
        for place, found in _strongest(suite).items():
            differences = {_other(one): _difference(one, p) for one, p in found}
            for one, p in found:
                verdicts.setdefault(_other(one), []).append(_verdict(one, p))
            dataset, label, eps255 = place
            first = found[0][0]
            cells = [differences.get(method, EMPTY) for method in CHALLENGERS]
            lines.append([name, dataset, label, radius_label(eps255), first.attack, f"{_baseline(first):.1f}", *cells])
    sentences = [_sentence(method, verdicts[method]) for method in CHALLENGERS if method in verdicts]
    if left_out:
        sentences.append(
            f"Where AT has not converged it is compared with nothing (suites {', '.join(dict.fromkeys(left_out))})."
        )
    if not lines:
        return " ".join(["No published suite compares kernel methods with AT yet.", *sentences]) + "\n"
    caption = (
        "Differences of robust accuracy in percentage points with 95% intervals, on the same test images of the same "
        "seeds, under that attack of the suite which leaves the methods of a line, AT among them, the least robust "
        "accuracy on average; AT at its checkpoint best on val. Bold: "
        f"significant at {SIGNIFICANCE:g} after Holm's correction over all comparisons of the suite."
    )
    head = ["suite", "dataset", "network", "ε", "attack", "AT %", *(f"{method_label(m)} − AT" for m in CHALLENGERS)]
    return "\n".join([" ".join(sentences), "", caption, "", *aligned(head, lines, words=5)]) + "\n"


def _strongest(suite: Suite) -> dict[Place, list[tuple[Comparison, float]]]:
    """Comparisons of the challengers with AT, with adjusted p, under the attack that is strongest against all."""
    found: dict[Place, dict[str, list[tuple[Comparison, float]]]] = {}
    for one, p in adjusted(comparisons(suite)):
        names = {one.a[0], one.b[0]}
        if BASELINE in names and names & set(CHALLENGERS):
            place = (one.dataset, one.spec.label, one.eps255)
            found.setdefault(place, {}).setdefault(one.attack, []).append((one, p))
    return {place: min(by_attack.values(), key=_left) for place, by_attack in found.items()}


def _left(pairs: Sequence[tuple[Comparison, float]]) -> float:
    """Mean robust accuracy of AT and its challengers."""
    accuracies = [_baseline(pairs[0][0]), *(_baseline(one) + _signed(one)[0] for one, _ in pairs)]
    return sum(accuracies) / len(accuracies)


def _baseline(one: Comparison) -> float:
    """Robust accuracy of AT, in percent."""
    return 100 * (one.robust[0] if one.a[0] == BASELINE else one.robust[1])


def _other(one: Comparison) -> str:
    return one.b[0] if one.a[0] == BASELINE else one.a[0]


def _signed(one: Comparison) -> tuple[float, float, float]:
    """Challenger minus AT: mean and interval, in points."""
    mean, low, high = (100 * value for value in one.difference)
    return (mean, low, high) if one.b[0] == BASELINE else (-mean, -high, -low)


def _difference(one: Comparison, p: float) -> str:
    mean, low, high = _signed(one)
    text = f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"
    return f"**{text}**" if p <= SIGNIFICANCE else text


def _verdict(one: Comparison, p: float) -> str:
    if p > SIGNIFICANCE:
        return "open"
    return "more" if _signed(one)[0] > 0 else "less"


def _sentence(method: str, verdicts: Sequence[str]) -> str:
    more, less, undecided = (verdicts.count(word) for word in ("more", "less", "open"))
    label = method_label(method)
    return (
        f"{label[0].upper()}{label[1:]} is significantly more robust than AT in {more} of {len(verdicts)} comparisons "
        f"and less robust in {less}; {undecided} show no significant difference."
    )
