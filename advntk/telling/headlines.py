"""What a page of results opens with: kernel methods against adversarial training, suite by suite."""

from __future__ import annotations

from collections.abc import Sequence

from advntk.telling.comparisons import SIGNIFICANCE, Line, cell, comparisons, seen_from, turned
from advntk.telling.convergence import unconverged
from advntk.telling.labels import method_label, radius_label
from advntk.telling.listing import EMPTY, lines_of, markdown_table, percent
from advntk.telling.suite_file import Suite

BASELINE = "at"
CHALLENGERS = ("advntk", "early_stopped_ntk", "ridge_ntk")


def headlines(suites: Sequence[Suite]) -> str:
    """Which of the kernel methods is more robust than AT, over all suites that compare them.

    Of several attacks that one counts which leaves the compared methods the least robust accuracy on average.

    Returns:
        Markdown: a sentence on each method, and a table; a sentence alone where no suite compares them.
    """
    lines, left_out, found = [], list[str](), list[Line]()
    for suite in suites:
        name = suite.config.suite
        if any(method == BASELINE for _, _, method, _ in unconverged(suite)):
            left_out.append(name)
        for mine in _strongest(suite):
            found += mine
            first, differences = mine[0], {one["method_a"]: cell(one) for one in mine}
            place = [name, first["dataset"], first["network"], radius_label(first["eps255"]), first["attack"]]
            cells = [differences.get(method, EMPTY) for method in CHALLENGERS]
            lines.append([*place, percent(first["robust_b"]), *cells])
    by_method = {method: [one for one in found if one["method_a"] == method] for method in CHALLENGERS}
    sentences = [_sentence(method, mine) for method, mine in by_method.items() if mine]
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
    return "\n".join([" ".join(sentences), "", caption, "", markdown_table(head, lines, words=5)])


def _strongest(suite: Suite) -> list[list[Line]]:
    """Challengers minus AT, by dataset, network and radius, under the attack that is strongest against all of them."""
    found: dict[tuple[str, str, float], dict[str, list[Line]]] = {}
    for one in map(turned, seen_from(lines_of(comparisons(suite)), BASELINE)):
        if one["method_a"] in CHALLENGERS:
            by_attack = found.setdefault((one["dataset"], one["network"], one["eps255"]), {})
            by_attack.setdefault(one["attack"], []).append(one)
    return [min(by_attack.values(), key=_left) for by_attack in found.values()]


def _left(pairs: Sequence[Line]) -> float:
    """Mean robust accuracy of AT and its challengers."""
    accuracies: list[float] = [pairs[0]["robust_b"], *(one["robust_b"] + one["difference"] for one in pairs)]
    return sum(accuracies) / len(accuracies)


def _sentence(method: str, found: Sequence[Line]) -> str:
    signs = [(one["p_holm"] <= SIGNIFICANCE) * (1 if one["difference"] > 0 else -1) for one in found]
    label = method_label(method)
    return (
        f"{label[0].upper()}{label[1:]} is significantly more robust than AT in {signs.count(1)} of {len(found)} "
        f"comparisons and less robust in {signs.count(-1)}; {signs.count(0)} show no significant difference."
    )
