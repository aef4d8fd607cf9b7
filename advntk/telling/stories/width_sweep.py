"""E1 told: adversarial training of wide networks against its linearisations."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from advntk.foundation.findings import Finding
from advntk.foundation.statistics import student_interval
from advntk.telling.layout import COLOURS, line_with_band, panels, span
from advntk.telling.story import EXPECTED, HERE, NEEDED, Claim, Story, Told, power, verdict_on

NONE = 0.01
"""A relative gap that counts as none."""
PAPER = "equivalence of AT and its linearisation (Fu & Wang 2024)"
TEST, TRAIN = 0, 1
_POINTS = ("test", "training")


def relative(one: Finding, name: str, part: int = TEST) -> np.ndarray:
    """A gap over how far the same networks' logits moved on training points, which training fixes; (networks,)."""
    gaps, moved = np.array(one.found[name][part]), np.array(one.found["moved"][TRAIN])
    return np.asarray(gaps / moved)


def _line(told: Told, name: str, *, d: int | None, part: int = TEST) -> tuple[list[int], np.ndarray]:
    """Widths and relative gaps (networks, widths): at one d, or where d is the width (None)."""
    along = told.options["along"]
    chosen = [
        one
        for one in told.findings
        if name in one.found
        and (one.settings["d"] == d if d is not None else one.settings["d"] == one.settings["width"] in along)
    ]
    chosen = sorted(chosen, key=lambda one: int(one.settings["width"]))
    return [one.settings["width"] for one in chosen], np.array([relative(one, name, part) for one in chosen]).T


def law(told: Told, d: int) -> np.ndarray:
    """Coefficients a and c of gap² = a/width + c at one d for the frozen Jacobians, of either sign, (networks, 2)."""
    widths, gaps = _line(told, "frozen", d=d)
    squares = gaps**2
    scale = squares.mean(axis=0)  # errors relative to each network's own gaps would let small ones draw the fit down
    terms = np.stack([1 / np.asarray(widths, dtype=float), np.ones(len(widths))], axis=1) / scale[:, None]
    return np.array([np.linalg.lstsq(terms, network / scale, rcond=None)[0] for network in squares])


def _dimensions(told: Told) -> list[int]:
    return sorted(told.options["dimensions"])


def _theorem(told: Told, d: int, part: int) -> Claim:
    """The frozen linearisation at one input dimension; what a growing one buys is the condition."""
    fixed = power(*_line(told, "frozen", d=d, part=part), upper=True)
    both = power(*_line(told, "frozen", d=None, part=part))
    bought = verdict_on(fixed, below=NEEDED) == "does not hold" and both[2] < NEEDED
    return Claim(
        "AT of a wide network follows its linearisation with both Jacobians frozen as the width grows "
        f"({_POINTS[part]} points, d = {d})",
        "power of the width in the relative gap, upper half of the widths",
        fixed,
        source=PAPER,
        below=NEEDED,
        words=EXPECTED,
        condition=f"the input dimension grows with the width (then the power is {span(both)})" if bought else "",
    )


def claims(told: Told) -> list[Claim]:
    """The theorem at fixed d, what converges instead, and where it holds."""
    d, sizes = int(told.options["theta_dimension"]), _dimensions(told)
    lines = [_theorem(told, size, part) for size in sizes for part in (TEST, TRAIN)]
    lines += [
        Claim(
            f"the gap to the frozen linearisation vanishes at infinite width (d = {size})",
            "c of the fit gap² = a/width + c over all widths, the squared gap at infinite width",
            student_interval(list(law(told, size)[:, 1])),
            source=PAPER,
            below=NONE**2,
            words=f"0 (below {NONE:g}²)",
        )
        for size in sizes
    ]
    if len(sizes) > 1:
        lines.append(
            Claim(
                "the gap to the frozen linearisation has a part that only a larger input dimension lowers",
                f"c of the fit gap² = a/width + c, d = {sizes[0]} less d = {sizes[-1]}",
                student_interval(list(law(told, sizes[0])[:, 1] - law(told, sizes[-1])[:, 1])),
                above=0,
            )
        )
    for claim, name, where, source in (
        ("AT follows the frozen linearisation as width and input dimension grow together", "frozen", None, HERE),
        ("AT follows Θ and κ of infinite width as width and input dimension grow together", "infinite", None, HERE),
        ("AT follows Θ and κ of infinite width as the width grows", "infinite", d, PAPER),
        ("AT follows the linearisation in θ alone as the width grows", "theta", d, HERE),
        ("AT by PGD in a ball follows the linearisation in θ alone as the width grows", "ball", d, HERE),
        ("clean training follows its linearisation as the width grows", "clean", d, "Lee et al. 2019"),
        ("clean training follows Θ of infinite width as the width grows", "clean_infinite", d, "Lee et al. 2019"),
    ):
        widths, gaps = _line(told, name, d=where)
        if len(widths) > 1:
            upper = name in ("theta", "infinite") and where is not None
            quantity = f"power of the width in the relative gap, d = {where or 'width'}"
            quantity += ", upper half of the widths" if upper else ""
            found = power(widths, gaps, upper=upper)
            lines.append(Claim(claim, quantity, found, source=source, below=NEEDED))
    return [*lines, _integrator(told)]


def _integrator(told: Told) -> Claim:
    """Whether steps are short enough: their effect against the gap of network and closed form, of the same networks."""
    shares = [relative(one, "step") / relative(one, "frozen") for one in told.findings if "step" in one.found]
    return Claim(
        "the integrator adds little to the gaps",
        "change by halving all steps, over the same network's gap to the frozen linearisation, width up to "
        f"{told.options['halved_up_to']}",
        student_interval([float(share) for share in np.concatenate(shares)]),
        below=0.2,
    )


def _setup(told: Told) -> str:
    options = told.options
    widths, along = options["widths"], options["along"]
    return (
        f"mlp, {options['activation']}, depth {options['depth']}, widths {widths[0]} to {widths[-1]} at d "
        f"{' and '.join(map(str, options['dimensions']))}, {along[0]} to {along[-1]} at d = width, n = "
        f"{options['points']}, {options['test_points']} test points, κηS = {options['strength']:g}, t up to "
        f"{options['end']:g} units, {options['seeds']} networks"
    )


_DRAWN = (
    ("frozen", "both Jacobians frozen"),
    ("theta", "linear in θ"),
    ("infinite", "Θ and κ of infinite width"),
    ("ball", "PGD; linear in θ"),
    ("clean", "clean; linear"),
    ("clean_infinite", "clean; Θ of infinite width"),
)


def figure(told: Told) -> Figure:
    """Relative gaps over the width, at fixed d and at d = width; and the frozen gap of every d with its fit."""
    d, options = told.options["theta_dimension"], told.options
    drawn, axes = panels(
        [f"gap over width, d = {d}", "gap over width, d = width", "both Jacobians frozen, every d"],
        title="Does adversarial training of a wide network follow its linearisation?",
        notes=[
            "Gap: largest over t of the rms difference on test points, over how far the network's logits moved on "
            "training points. Line: mean over networks; band: 95% interval of the mean. Dashed: fit gap² = a/width + c "
            "at each d.",
        ],
    )
    for panel, where in zip(axes[:2], (d, None), strict=True):
        for colour, (name, label) in zip(COLOURS, _DRAWN, strict=False):
            widths, gaps = _line(told, name, d=where)
            if len(widths) > 1:
                line_with_band(panel, widths, gaps, label, color=colour)
    for size in [*options["dimensions"], None]:
        widths, gaps = _line(told, "frozen", d=size)
        laws = [] if size is None else [law(told, size).mean(axis=0)]
        fitted = [[np.sqrt(max(a / width + c, 0.0)) for width in widths] for a, c in laws] or None
        line_with_band(axes[2], widths, gaps, f"d = {size or 'width'}", dashed=fitted)
    for panel in axes:
        panel.set(xscale="log", yscale="log", xlabel="width", ylabel="relative gap")
        ticks = sorted({*options["widths"], *options["along"]})
        panel.set_xticks(ticks, [str(tick) for tick in ticks])
        panel.minorticks_off()
        values = np.concatenate([line.get_ydata() for line in panel.get_lines()])
        low, high = float(values.min()) / 2, float(values.max()) * 2  # bands may reach below 0
        panel.set_ylim(low, high * (high / low) ** (0.3 if panel is axes[2] else 0.65))  # room for the legend
        panel.legend(loc="upper right")
    return drawn


def caption(told: Told) -> str:
    """What was found."""
    widths, _ = _line(told, "frozen", d=_dimensions(told)[0])
    gaps = [_line(told, "frozen", d=size)[1][:, -1].mean() for size in _dimensions(told)]
    sizes = ", ".join(f"{gap:.3f} at d = {size}" for gap, size in zip(gaps, _dimensions(told), strict=True))
    return (
        f"With both Jacobians frozen, the relative gap on test points at width {widths[-1]} is {sizes}. Where d = "
        f"width it goes with the width to the power {span(power(*_line(told, 'frozen', d=None)))}."
    )


ENTRY = Story(
    number="E1",
    title="Wide networks and their linearisation",
    question="Does adversarial training of a wide network become that of its linearisation, and of which one?",
    setup=_setup,
    figure=figure,
    claims=claims,
    caption=caption,
)
