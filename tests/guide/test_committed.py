"""docs/guides: made by `python docs/guides.py`, and still true."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "guides"
REMADE = "deepseek-r1-distill-qwen-1.5b-qlora"
ONLY_WHOLE = ("Free",)
"""What depends on whether anything may be rehearsed."""
Row = tuple[str, str, str]


def pages() -> dict[str, str]:
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.md"))}


def rows(page: str) -> Iterator[tuple[Row, str]]:
    """Each row of a table, by its headings, the table's columns and its first cell."""
    heads, columns, is_inside = ["", ""], "", False
    for line in page.splitlines():
        if line.startswith("## "):
            heads = [line, ""]
        elif line.startswith("### "):
            heads[1] = line.removeprefix("### ")
        is_row = line.startswith("|")
        if is_row and not is_inside:
            columns = line
        elif is_row and not line.startswith("|---"):
            first = " | ".join(line.split(" | ")[:2])
            yield (f"{heads[0]}/{heads[1]}", columns, first), line
        is_inside = is_row


def commands() -> dict[str, tuple[str, ...]]:
    scope: dict[str, object] = {"__name__": "guides", "__file__": str(ROOT / "docs" / "guides.py")}
    exec((ROOT / "docs" / "guides.py").read_text(encoding="utf-8"), scope)
    found = scope["GUIDES"]
    assert isinstance(found, dict)
    return found


def test_there_is_a_guide_for_each_system() -> None:
    """By the names of docs/guides.py; only one that is asked for quickly leaves anything out."""
    assert pages().keys() == {*commands(), "README"}
    for name, words in commands().items():
        assert ("--quick`: what would have" in pages()[name]) == ("--quick" in words)


def test_a_guide_made_again_has_the_same_numbers(tmp_path: Path) -> None:
    """Every row that needs no rehearsal is as it is committed; where not, `python docs/guides.py` makes it so."""
    words = [*commands()[REMADE], "--quick", "-o", str(tmp_path / "guide.md")]
    environment = os.environ | {"FINEFIT_CACHE": str(tmp_path)}
    subprocess.run([sys.executable, "-m", "finefit", "guide", *words], check=True, env=environment, cwd=ROOT)
    committed = dict(rows(pages()[REMADE]))
    made = dict(rows((tmp_path / "guide.md").read_text(encoding="utf-8")))
    shared = [row for row in made if row in committed and not row[0].endswith(ONLY_WHOLE)]
    assert len(shared) > 100
    assert [made[row] for row in shared] == [committed[row] for row in shared]


@pytest.mark.parametrize("name", sorted(commands()))
def test_no_sentence_is_broken(name: str) -> None:
    """No Python value leaks into a page."""
    assert not re.search(r"\b(None|nan|inf)\b(?!`)", re.sub(r"```.*?```", "", pages()[name], flags=re.DOTALL))


def test_figures_against_the_hand_written_guides_stand_in_ours() -> None:
    """What docs/guides/README.md says that we compute is said, to the digit, by the guide that it links."""
    found = 0
    for line in pages()["README"].splitlines():
        links = re.findall(r"\]\(([\w.-]+)\.md\)", line)
        if line.startswith("|") and links:
            for figure in re.findall(r"`([^`]+)`", line.split("|")[-2]):
                assert figure in pages()[links[0]], (figure, links[0])
                found += 1
    assert found > 10
