"""Tables: the same numbers in all three forms, footnotes, and LaTeX that holds no unescaped sign."""

import re

import pandas as pd
import pytest

from advntk.foundation.records import AttackRecord
from advntk.telling.frames import read_suite, results_frame
from advntk.telling.tables import write_robust_accuracy
from advntk.telling.tex import escaped

OUTSIDE = "reference_fixed_gradient"


@pytest.fixture
def written(build, tmp_path):
    """A suite with an attack outside the threat model and one doubt, and its tables."""
    builder = build(attacks=["pgd", OUTSIDE], seeds=2)
    builder.flags["ntk", "final", 1] = ["50% of gradients are 0 & λ_max > 1e5"]
    suite = read_suite(builder.fill().write())
    out = tmp_path / "tables" / "robust_accuracy.csv"
    write_robust_accuracy(suite, out)
    return suite, out


def markdown_cells(text):
    """{(section, column, method): (mean, half width)} of all tables of the text."""
    cells, section, head = {}, "", []
    for line in text.splitlines():
        if line.startswith("## "):
            section, head = line[3:].partition("): ")[0].rstrip(")") + ")", []
        elif line.startswith("|"):
            parts = [part.strip() for part in line.strip("|").split("|")]
            if parts[0] == "method":
                head = parts
            elif not parts[0].startswith("-"):
                for column, part in zip(head[1:], parts[1:], strict=True):
                    mean, half = re.match(r"([\d.]+) ± ([\d.]+)", part).groups()
                    cells[section, column, parts[0]] = float(mean), float(half)
    return cells


def test_csv_is_the_frame(written):
    suite, out = written
    frame, read = results_frame(suite), pd.read_csv(out)
    assert list(read.columns) == list(frame.columns)
    pd.testing.assert_frame_equal(read, frame, check_dtype=False, atol=1e-6)


def test_markdown_holds_every_number_of_the_frame(written):
    suite, out = written
    cells = markdown_cells(out.with_suffix(".md").read_text())
    names = {
        ("ntk", "final"): "NTK",
        ("early_stopped_ntk", "final"): "early-stopped NTK",
        ("advntk", "last"): "Adv-NTK (last)",
        ("advntk", "best_val"): "Adv-NTK (best on val)",
        ("at", "last"): "AT (last)",
        ("at", "best_val"): "AT (best on val)",
    }
    titles = {"pgd": "pgd", OUTSIDE: f"{OUTSIDE} (outside threat model)"}
    frame = results_frame(suite)
    for row in frame.itertuples():
        place = f"digits, ε = {row.eps255:g}/255 (ℓ∞)", f"{row.architecture}-{row.depth}"
        for title, kind in (("clean", "clean"), (titles[row.attack], "robust")):
            mean, half = cells[place[0], f"{place[1]} {title}", names[row.method, row.checkpoint]]
            assert mean == pytest.approx(100 * getattr(row, f"{kind}_mean"), abs=0.051)
            width = getattr(row, f"{kind}_hi") - getattr(row, f"{kind}_lo")
            assert half == pytest.approx(50 * width, abs=0.051)
    assert len(cells) == 6 * 3 * 3 * 2


def test_markdown_lines_up_and_fits_a_terminal(written):
    _, out = written
    text = out.with_suffix(".md").read_text()
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.M):
        widths = {len(line) for line in table.splitlines()}
        assert len(widths) == 1
        assert widths.pop() <= 125


def test_captions_and_footnotes(written):
    _, out = written
    text = out.with_suffix(".md").read_text()
    assert "n_test = 400, n_train = 800, seeds = 2" in text
    assert "95% interval over seeds and test examples" in text
    assert "outside threat model: its points may lie beyond ε" in text
    assert "* [a] 50% of gradients are 0 & λ_max > 1e5 (seed 1)" in text
    marked = [line for line in text.splitlines() if "[a]" in line and line.startswith("|")]
    assert marked
    assert all(line.startswith("| NTK ") for line in marked)


def test_latex_is_balanced_and_escaped(written):
    _, out = written
    text = out.with_suffix(".tex").read_text()
    assert text.isascii()
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert r"\shortstack[r]{reference\_ \\ fixed\_gradient \\ (outside \\ threat model)}" in body
    assert not re.search(r"(?<!\\)%(?!\n|$)", body.replace("{!}{%", ""))
    plain = re.sub(r"\$[^$]*\$|\\_", "", body)
    assert "_" not in plain
    assert body.replace(r"\{", "").count("{") == body.replace(r"\}", "").count("}")
    for name in ("table", "tabular"):
        assert body.count(f"\\begin{{{name}}}") == body.count(f"\\end{{{name}}}") > 0
    for tabular in re.findall(r"\\begin\{tabular\}\{l(r+)\}(.*?)\\end", body, flags=re.S):
        columns = len(tabular[0])
        lines = [line for line in tabular[1].splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
        assert len(lines) == 7
        assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {columns}


def test_latex_numbers_are_markdown_numbers(written):
    _, out = written
    found = re.findall(r"\$([\d.]+) \\pm ([\d.]+)\$", out.with_suffix(".tex").read_text())
    cells = markdown_cells(out.with_suffix(".md").read_text())
    numbers = [(float(mean), float(half)) for mean, half in found]
    assert set(numbers) == set(cells.values())
    assert len(numbers) >= 6 * 2 * 3 * 2  # LaTeX puts more networks side by side, clean stands once in each block


def test_stages_of_an_attack_stand_below_the_grids(build, tmp_path):
    builder = build(attacks=["pgd", "autoattack"], eps255=[16], methods=["ntk", "at"]).fill()
    suite = read_suite(builder.write())
    write_robust_accuracy(suite, tmp_path / "t.csv")
    text = (tmp_path / "t.md").read_text()
    assert text.count("stages of") == text.count("stages of autoattack") == 1
    below = text.partition("stages of")[2]
    clean, robust = builder.rates(builder.config.specs()[0], "at", "last", "autoattack", 16)
    n = builder.n_test  # seed 1 has 4 more clean and 6 fewer robust examples
    counts = [(round(n * clean) + 4 * seed, round(n * robust) - 6 * seed) for seed in range(2)]
    after = [right - (right - standing) // 2 for right, standing in counts]
    numbers = [sum(pair) / 2 / n for pair in (*zip(*counts, strict=True), after)]
    line = next(line for line in below.splitlines() if line.startswith("| mlp-3   | AT (last)"))
    found = [float(part) for part in line.strip("|").split("|")[2:]]
    assert found == pytest.approx([100 * numbers[i] for i in (0, 2, 1)], abs=0.051)
    assert len([line for line in below.splitlines() if "-3 " in line or "-5 " in line]) == 3 * 3


def test_a_suite_without_stages_has_no_table_of_them(written):
    _, out = written
    assert "stages of" not in out.with_suffix(".md").read_text()


def test_settings_are_words(build, tmp_path):
    builder = build(attacks=["pgd"], methods=["ntk"])
    spec = builder.config.specs()[0]
    attack = AttackRecord(
        name="pgd", kind="autoattack", options={"attacks": ["apgd-ce", "square"], "cascade": True}, seed=0,
        inside_threat_model=True,
    )  # fmt: skip
    for eps255 in builder.config.eps255:
        for seed in range(2):
            builder.record("digits", spec, "ntk", eps255, "pgd", seed, attack=attack)
    write_robust_accuracy(read_suite(builder.write()), tmp_path / "t.csv")
    assert "* attack `pgd`: autoattack: attacks apgd-ce + square, cascade True\n" in (tmp_path / "t.md").read_text()


def test_one_seed_is_said(build, tmp_path):
    write_robust_accuracy(read_suite(build(seeds=1).fill().write()), tmp_path / "t.csv")
    assert "one seed: the spread over seeds is not in it" in (tmp_path / "t.md").read_text()


def test_a_method_that_a_network_lacks_leaves_a_dash(build, tmp_path):
    builder = build().fill()
    builder.paths = [path for path in builder.paths if not ("cnn-3" in path and "/at/" in path)]
    write_robust_accuracy(read_suite(builder.write()), tmp_path / "t.csv")
    lines = [line for line in (tmp_path / "t.md").read_text().splitlines() if line.startswith("| AT")]
    assert all(line.count("—") == 2 for line in lines)


def test_a_kernel_fit_made_at_another_width_is_shown(build, tmp_path):
    builder = build(methods=["ntk"], eps255=[16], seeds=1, architectures=[{"family": "mlp", "depth": 3}])
    spec = builder.config.specs()[0]
    builder.record("digits", spec, "ntk", 16, "pgd", 0, architecture=spec.model_copy(update={"width": 7}))
    write_robust_accuracy(read_suite(builder.write()), tmp_path / "t.csv")
    assert len(markdown_cells((tmp_path / "t.md").read_text())) == 2


def test_same_bytes_twice(written, tmp_path):
    suite, out = written
    write_robust_accuracy(suite, tmp_path / "again.csv")
    for suffix in (".csv", ".md", ".tex"):
        assert out.with_suffix(suffix).read_bytes() == (tmp_path / "again.csv").with_suffix(suffix).read_bytes()


def test_escaping():
    assert escaped(r"a_b & 5% ~ \x") == r"a\_b \& 5\% \textasciitilde{} \textbackslash{}x"
    assert escaped("ε ≤ 漢") == r"$\epsilon$ $\le$ ?"
