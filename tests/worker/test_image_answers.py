"""`finefit generate` and `finefit chat` with images, as a user asks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from finefit import api
from finefit.cli.main import run
from finefit.errors import BadInput
from finefit.nouns.sampling import Sampling
from finefit.run import worker
from finefit.worker.generate import generate
from pictures import picture, row, said, write

pytest.importorskip("PIL.Image")
pytestmark = pytest.mark.xdist_group("image answers")

EXAMPLES = Path(__file__).parents[2] / "examples"
SEEING = EXAMPLES / "pictures" / "model"
SHORT = Sampling(max_new_tokens=6)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The example's, with weights that are drawn wider: what it reads decides what it says."""
    folder = tmp_path_factory.mktemp("model") / "model"
    shutil.copytree(SEEING, folder)
    torch.manual_seed(1)
    weights = load_file(folder / "model.safetensors")
    drawn = {name: torch.randn_like(each) * 0.2 if each.ndim > 1 else each for name, each in weights.items()}
    save_file(drawn, folder / "model.safetensors", {"format": "pt"})
    return str(folder)


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the seconds that a process needs to begin; a chat has one."""
    monkeypatch.setattr(worker, "ask", lambda _verb, orders, _hear=None: generate(json.loads(json.dumps(orders))))


def test_however_it_is_asked_it_is_one_answer(model: str, tmp_path: Path) -> None:
    """A prompt with files, a row of a file of rows, and a line of a chat: images beside the words, in the words, or as
    bytes; and another image is another answer."""
    small, wide = (str(tmp_path / picture(tmp_path, *size)) for size in ((60, 50), (300, 90)))
    [one] = api.generate(model, ["Say."], SHORT, images=[small])
    [two] = api.generate(model, ["Say."], SHORT, images=[small, wide])
    [none] = api.generate(model, ["Say."], SHORT)
    assert len({one, two, none}) == 3
    parts = [{"type": "image", "image": "60x50.png"}, {"type": "text", "text": "Say."}]
    asked = [
        row("Say.", "60x50.png"),
        {"prompt": "Say.", "images": ["60x50.png", "300x90.png"]},
        {"prompt": [said(parts)]},
        {"prompt": "Say."},
    ]
    file, out = write(tmp_path / "asked.jsonl", *asked), tmp_path / "out.jsonl"
    api.generate_file(model, Path(file), out, SHORT, batch=3)
    answered = [json.loads(line) for line in out.read_text().splitlines()]
    assert [each.pop("answer") for each in answered] == [one, two, one, none]
    assert answered == asked
    with api.chat(model, False, SHORT) as chat:
        assert chat.attach(small) == (60, 50)
        assert chat.say("Say.", str).text == one
        chat.reset()
        chat.attach(small)
        with pytest.raises(BadInput, match=r"/image: the image .*gone"):
            chat.attach(str(tmp_path / "gone.png"))
        chat.attach(wide)
        assert chat.say("Say.", str).text == two
        chat.say("And?", str)
        chat.reset()
        assert chat.say("Say.", str).text == none


def test_bytes_of_a_table_come_back_as_text(model: str, tmp_path: Path) -> None:
    """JSON has no bytes; what is written can be read again, as the same row."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    raw = (tmp_path / picture(tmp_path, 60, 50)).read_bytes()
    table, again = tmp_path / "asked.parquet", tmp_path / "again.jsonl"
    rows = [{"messages": [said("Say.")], "images": [{"bytes": raw, "path": None}]}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), table)
    api.generate_file(model, table, tmp_path / "out.jsonl", SHORT)
    told = json.loads((tmp_path / "out.jsonl").read_text())
    answer = told.pop("answer")
    api.generate_file(model, Path(write(again, told)), tmp_path / "again-out.jsonl", SHORT)
    assert json.loads((tmp_path / "again-out.jsonl").read_text())["answer"] == answer


def refused(capsys: pytest.CaptureFixture[str], *words: Any) -> str:
    assert run(["generate", *map(str, words)]) == 2
    return capsys.readouterr().err


def test_what_cannot_be_shown_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before a model is loaded, all at once: files that are not there, that are no images, whose pixels are cut, that
    the processor refuses, on the network; rows by line; a model that sees nothing, and one without a processor."""
    good = tmp_path / picture(tmp_path, 300, 200)
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:60])
    (tmp_path / "text.png").write_text("text")
    picture(tmp_path, 2001, 10)
    names = ("gone.png", "cut.png", "text.png", "2001x10.png")
    images = [word for name in names for word in ("--image", tmp_path / name)] + ["--image", "https://a/b.png"]
    told = refused(capsys, SEEING, "--prompt", "a", *images)
    assert "5 problems" in told
    reasons = ("No such file", "the pixels of", "no image that Pillow knows", "more than 200 times", "on the network")
    assert all(reason in told for reason in reasons)
    rows = [row("a", name) for name in names] + [row([{"type": "image"}]), row("a", "../x.png"), row("a", good.name)]
    asked, out = write(tmp_path / "asked.jsonl", *rows), tmp_path / "out.jsonl"
    told = refused(capsys, SEEING, "--input", asked, "-o", out)
    assert [f"asked.jsonl:{line}: " in told for line in range(1, 8)] == [True] * 6 + [False]
    assert "0 images beside the messages, and 1 place" in told
    told = refused(capsys, EXAMPLES / "base", "--input", asked, "-o", out)
    assert f"{asked}:7: the row has images: llama sees nothing" in told
    assert "llama sees nothing" in refused(capsys, EXAMPLES / "base", "--prompt", "a", "--image", good)
    shutil.copytree(SEEING, tmp_path / "blind", ignore=shutil.ignore_patterns("preprocessor*"))
    assert "no preprocessor_config.json" in refused(capsys, tmp_path / "blind", "--prompt", "a", "--image", good)
    assert "--image: means nothing" in refused(capsys, SEEING, "--input", asked, "-o", out, "--image", good)


def test_an_image_without_room_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the tokens that it becomes, before the model is loaded."""
    shutil.copytree(SEEING, small := tmp_path / "small")
    config = json.loads((small / "config.json").read_text())
    config["text_config"]["max_position_embeddings"] = 30
    (small / "config.json").write_text(json.dumps(config))
    told = refused(capsys, small, "--prompt", "a", "--image", tmp_path / picture(tmp_path, 300, 200))
    assert "prompt 1: the prompt has " in told
    assert "30 positions" in told
