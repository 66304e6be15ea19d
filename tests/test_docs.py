"""Docs cannot lie: their commands run, generated pages are up to date, tables come from stored results."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", ROOT / "docs" / "tour.md")
REFUSED = "finefit train runs/quickstart-1 --resume"
"""Shown in the tour as refused: that run is complete."""


def commands(page: Path) -> list[str]:
    """The lines that a reader would type."""
    blocks = re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def module_at(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_documented_command_runs(page: Path, tmp_path: Path) -> None:
    """What the page tells a reader to type works in the order of the page; make targets exist."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in commands(page):
        words = shlex.split(command)
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", makefile, flags=re.MULTILINE), command
            continue
        assert words[0] == "finefit", command
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"COLUMNS": "120"},
        )  # fmt: skip
        assert done.returncode == (2 if command == REFUSED else 0), f"{command}\n{done.stderr}"
        assert "Traceback" not in done.stderr


def test_command_pages_are_the_help() -> None:
    """A page in docs/commands is what the command's --help says."""
    done = subprocess.run([sys.executable, ROOT / "docs" / "make.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_accuracy_page_is_made_from_the_stored_results() -> None:
    """docs/accuracy.md holds every published row that can be expressed, and is made of the stored results alone."""
    published = module_at(ROOT / "validation" / "published.py")
    rows = list(csv.DictReader(published.ROWS.open(encoding="utf-8")))
    stored = json.loads(published.RESULTS.read_text(encoding="utf-8"))
    results = {name: published.Result(**result) for name, result in stored["rows"].items()}
    assert results.keys() <= {row["id"] for row in rows}
    assert results.keys() >= {row["id"] for row in rows if row["expressible"] == "yes"}
    assert published.page(rows, results, stored["stack"]) == published.PAGE.read_text(encoding="utf-8")


def test_no_path_of_a_developer_machine() -> None:
    """Nothing in the repository names a place outside it."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    pattern = re.compile("/" + "work" + r"/\w|/" + "tmp" + r"/\w|\.\./" + "shared")
    for name in listed.stdout.split():
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".yaml", ".json", ".csv") and path.stat().st_size < 1 << 20:
            assert not pattern.search(path.read_text(encoding="utf-8")), name
