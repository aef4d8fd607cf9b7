"""Plain text as LaTeX that compiles with pdflatex and no further packages."""

from __future__ import annotations

import unicodedata

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}
_MATHS = {
    **{"±": r"\pm", "×": r"\times", "·": r"\cdot", "−": "-", "≤": r"\le", "≥": r"\ge", "≠": r"\ne", "≈": r"\approx"},
    **{
        "∞": r"{}_\infty",
        "ℓ": r"\ell",
        "‖": r"\|",
        "½": r"\frac12",
        "²": "{}^2",
        "→": r"\to",
        "√": r"\surd",
        "∈": r"\in",
    },
    **{"ε": r"\epsilon", "λ": r"\lambda", "σ": r"\sigma", "ζ": r"\zeta", "η": r"\eta", "κ": r"\kappa", "ϖ": r"\varpi"},
    **{"Θ": r"\Theta", "Ξ": r"\Xi", "φ": r"\varphi", "α": r"\alpha", "∂": r"\partial", "₂": "{}_2"},
}
_TEXT = {"—": "---", "–": "--", "…": r"\ldots{}", "“": "``", "”": "''", "‘": "`", "’": "'"}


def escaped(text: str) -> str:
    """Text with LaTeX's special characters escaped and signs in maths; a letter that is unknown becomes ``?``."""
    return "".join(_escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    if letter in _SPECIAL:
        return _SPECIAL[letter]
    if letter in _MATHS:
        return f"${_MATHS[letter]}$"
    if letter in _TEXT:
        return _TEXT[letter]
    if letter.isascii() or unicodedata.name(letter, "").startswith("LATIN"):
        return letter
    return "?"
