"""The picture in CONTRIBUTING.md of what the packages of ``advntk`` import.

    python -m tests.imports_picture            # draw it
    python -m tests.imports_picture --check    # exit with status 1 unless it shows the imports of the code

An arrow is left out where others lead from its tail to its head.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

import grimp

PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"
BEGIN, END = "<!-- drawn by `python -m tests.imports_picture` -->\n", "<!-- end of the picture -->\n"


def leads(start: str, end: str, arrows: set[tuple[str, str]]) -> bool:
    """Whether arrows lead from one package to another."""
    return any(head == end or leads(head, end, arrows - {(start, head)}) for tail, head in arrows if tail == start)


def drawing() -> str:
    """A mermaid diagram."""
    graph = grimp.build_graph("advntk", cache_dir=None)
    packages = [name for name in sorted(graph.find_children("advntk")) if graph.find_children(name)]
    arrows = {
        (one, other)
        for one, other in itertools.permutations(packages, 2)
        if graph.direct_import_exists(importer=one, imported=other, as_packages=True)
    }
    for arrow in sorted(arrows):
        if leads(*arrow, arrows - {arrow}):
            arrows.remove(arrow)
    lines = (f"  {one} --> {other}\n" for one, other in sorted(arrows))
    return "```mermaid\nflowchart TD\n" + "".join(lines).replace("advntk.", "") + "```\n"


def main(arguments: list[str] | None = None) -> int:
    """Draw or check the picture; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args(arguments).check
    page = PAGE.read_text(encoding="utf-8")
    drawn = page.partition(BEGIN)[0] + BEGIN + drawing() + END + page.partition(END)[2]
    if not check:
        PAGE.write_text(drawn, encoding="utf-8")
    elif drawn != page:
        print("CONTRIBUTING.md does not show the imports of the code: run python -m tests.imports_picture")
    return int(check and drawn != page)


if __name__ == "__main__":
    sys.exit(main())
