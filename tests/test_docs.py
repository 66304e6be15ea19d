"""Docs cannot lie: their commands run, generated pages are up to date, tables come from stored results."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from finefit.cli.main import run
from finefit.estimate.rehearsed import ledger_from
from finefit.estimate.reserved import serve
from finefit.rehearsal.find import find
from finefit.tape.peaks import CUDA_BLOCK_BYTES, alive_at, moments, segments
from finefit.tape.runs import Stretch
from finefit.tape.sizes import Formula

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", ROOT / "docs" / "tour.md", ROOT / "docs" / "data.md")
REFUSED = "finefit train runs/quickstart-1 --resume"
"""Shown in the tour as refused: that run is complete."""
MADE = ("runs", "build", "dist", "__pycache__")
"""Folders that are not of the repository, beside those with a dot."""


def commands(page: Path) -> list[str]:
    """The lines that a reader would type."""
    blocks = re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def module_at(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    if str(path.parent) not in sys.path:  # as for a script, whose folder is looked in
        sys.path.append(str(path.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_documented_command_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the page tells a reader to type works in the order of the page; make targets exist."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    for command in commands(page):
        words = shlex.split(command)
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", makefile, flags=re.MULTILINE), command
            continue
        assert words[0] == "finefit", command
        code = run(words[1:])
        said = capsys.readouterr().err
        assert code == (2 if command == REFUSED else 0), f"{command}\n{said}"
        assert "Traceback" not in said
        assert "mistake of finefit" not in said


def test_the_tensor_that_the_page_follows_is_in_the_tape() -> None:
    """Its bytes, its ruler, where it is born and dies, and the peak that it is alive at."""
    page = (ROOT / "docs" / "how-it-works.md").read_text(encoding="utf-8")
    recipe = module_at(ROOT / "docs" / "make.py").followed()
    found = find(recipe, lambda _: None)
    recording = found.recording
    number = next(
        number
        for number, (kind, block) in enumerate(zip(recording.kinds, recording.block_of, strict=True), 1)
        if block == 20 and recording.kind_names[kind][2].endswith("mlp.up_proj") and number > len(recording.nbytes) / 2
        and recording.kind_names[kind][1:4:2] == ("forward", "aten.add.Tensor")
    )  # fmt: skip
    assert f"{recording.nbytes[number - 1]:,} bytes" in page
    assert recording.nbytes[number - 1] == 28_672 * recipe.point.tokens
    for event, phase in ((number, "forward"), (-number, "backward")):
        position = recording.events.index(event)
        label = next(each.label for each in segments(recording) if each.start <= position < each.stop)
        assert label == f"1/0/{phase}/20"
        assert f"`{label}`" in page
    segment, moment = max(moments(recording, CUDA_BLOCK_BYTES), key=lambda pair: pair[1].nbytes)
    assert segment.label == "1/0/forward/31"
    assert f"{moment.nbytes:,} bytes" in page
    assert number in alive_at(recording, moment.position)
    lines = ledger_from(recording, recipe.model, recipe.knobs, recipe.machine).lines
    line = next(line for line in lines if line.what == "mlp: saved for backward")
    assert f'{line.nbytes:,} bytes and says why: "{line.why}"' in page


def test_the_tape_knows_the_followed_tensor_as_the_page_says() -> None:
    """By one ruler, at six points, from a middle kept layer that stands for twelve; with a block of its own size."""
    recipe = module_at(ROOT / "docs" / "make.py").followed()
    found = find(recipe, lambda _: None)
    assert found.tape is not None
    history = found.tape.history_at(recipe.point)
    assert history is not None
    assert history.formulas is not None
    assert len(history.points) == 6
    few = history.few
    assert history.layers == "AAAAAaaaaa"
    kept = 7
    assert Stretch(history.layers, recipe.layers).places[kept] == tuple(range(18, 30))
    outputs = [
        number
        for number, (kind, block) in enumerate(zip(few.kinds, few.block_of, strict=True))
        if block == kept and few.kind_names[kind][2].endswith("mlp.up_proj")
        and few.kind_names[kind][1:4:2] == ("forward", "aten.add.Tensor")
    ]  # fmt: skip
    assert len(outputs) == 4  # two steps of two micro-batches
    assert {history.formulas[history.row_of[number]] for number in outputs} == {(Formula(((28_672, "BS"),)),)}
    assert recipe.machine.gpu is not None
    served = serve(found.recording, recipe.knobs, recipe.machine.gpu)
    granted = zip(found.recording.nbytes, served.granted_bytes, strict=True)
    assert {block for nbytes, block in granted if nbytes == 28_672 * recipe.point.tokens} == {117_440_512}


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


def test_every_published_row_of_several_gpus_is_told() -> None:
    """docs/accuracy.md names each: with its result where it can be expressed, else with the reason."""
    from published_kit.several import read, rows

    page = (ROOT / "docs" / "accuracy.md").read_text(encoding="utf-8")
    assert read().keys() == {row["id"] for row in rows() if row["expressible"] != "no"}
    assert all(row["id"] in page for row in rows())
    assert all(row["why_not"] for row in rows() if row["expressible"] != "yes")


def test_every_published_speed_is_told() -> None:
    """docs/accuracy.md names each row: with its result where tokens per second are stated and can be computed."""
    from published_kit.speed_rows import expressible, rows
    from published_kit.speeds import read

    page = (ROOT / "docs" / "accuracy.md").read_text(encoding="utf-8")
    assert read().keys() == {row.id for row in expressible() if row.tokens_per_second is not None}
    assert all(row.id in page for row in rows())


def shipped_files() -> list[Path]:
    """What git has; where this is no checkout, every file that nothing here has made."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
        return [ROOT / name for name in listed.stdout.splitlines()]
    return [
        path
        for path in ROOT.rglob("*")
        if path.is_file() and not any(part in MADE or part.startswith(".") for part in path.relative_to(ROOT).parts)
    ]


def test_no_path_of_a_developer_machine() -> None:
    """Nothing in the repository names a place outside it."""
    pattern = re.compile("/" + "work" + r"/\w|/" + "tmp" + r"/\w|\.\./" + "shared")
    files = shipped_files()
    assert Path(__file__) in files
    for path in files:
        if path.suffix in (".py", ".md", ".toml", ".yaml", ".json", ".csv") and path.stat().st_size < 1 << 20:
            assert not pattern.search(path.read_text(encoding="utf-8")), path
