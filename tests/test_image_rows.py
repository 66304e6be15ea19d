"""`finefit estimate --data` of rows that show images, as a user asks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from vision import qwen2_vl

from finefit.api import plan_job
from finefit.cli.main import run
from finefit.errors import BadInput
from finefit.show.live import Lines
from pictures import picture, row, write
from small import LLAMA

pytest.importorskip("PIL.Image")
pytestmark = pytest.mark.xdist_group("images")

GROWING = ((120, 80), (240, 160), (480, 480))
"""Of one image of the file; another one is larger than the first two of these."""


def estimated(capsys: pytest.CaptureFixture[str], model: Path, data: str, *words: str) -> dict[str, Any]:
    asked = ["estimate", str(model), "--data", data, "--gpu", "RTX4090", *words, "--json"]
    assert run(asked) == 0, capsys.readouterr().err
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def model(folder: Path, config: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_larger_image_never_takes_less(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One image of a file grows: no peak is smaller than the one before, and the last is larger than the first; the
    row that sets it is named, and is the one with the largest image in the end."""
    seeing, other = model(tmp_path / "model", qwen2_vl()), picture(tmp_path, 300, 200)
    told = []
    for size in GROWING:
        rows = [row("a"), row("a", picture(tmp_path, *size)), row("a", other), row("a long one " * 40)]
        data = write(tmp_path / "rows.jsonl", *rows)
        told.append(estimated(capsys, seeing, data))
    peaks = [each["memory"]["allocated_bytes"] for each in told]
    assert peaks == sorted(peaks)
    assert peaks[0] < peaks[-1]
    assert told[-1]["data"]["shown"]["peak_lines"] == [2]
    assert told[0]["data"]["shown"]["peak_lines"] != [2]


def test_the_answer_says_what_rows_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """How many images of which sizes, the lines that set the peak, and how they were found; micro-batches are of as
    many rows as there are."""
    seeing = model(tmp_path / "model", qwen2_vl())
    names = [picture(tmp_path, *size) for size in ((300, 200), (56, 70))]
    data = write(tmp_path / "rows.jsonl", row("a", *names), row("a", names[1]), row("a"))
    told = estimated(capsys, seeing, data, "--per-device-train-batch-size", "4")
    shown = told["data"]["shown"]
    assert (shown["images"], shown["rows"], shown["rehearsed"], shown["more"]) == (3, 2, 1, 0)
    assert (shown["smallest"], shown["largest"]) == ([56, 70], [300, 200])
    assert shown["peak_lines"] == [1, 2, 3]
    assert any(f"{data}:1, {data}:2, {data}:3" in note for note in told["notes"])
    assert not any("--image-size" in note for note in told["notes"])
    assert told["recipe"]["max_length"] == told["data"]["longest_tokens"]


def test_bad_rows_are_named_before_anything_is_rehearsed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An image that is not there, and a place without one, by file and line."""
    data = write(tmp_path / "rows.jsonl", row("a", "nowhere.png"), row([{"type": "image"}]))
    assert run(["estimate", str(model(tmp_path / "model", qwen2_vl())), "--data", data]) == 2
    said = capsys.readouterr().err
    assert f"{data}:1: the image {tmp_path / 'nowhere.png'} cannot be read" in said
    assert f"{data}:2: 0 images beside the messages, and 1 place for one in them" in said


def test_an_image_that_the_processor_refuses_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the line of its row, or by the option that gives its size."""
    seeing = str(model(tmp_path / "model", qwen2_vl()))
    data = write(tmp_path / "rows.jsonl", row("a", picture(tmp_path, 2000, 10)), row("a", picture(tmp_path, 2001, 10)))
    assert run(["estimate", seeing, "--data", data]) == 2
    assert f"{data}:2: an image is 2001 × 10: one side is more than 200 times" in (said := capsys.readouterr().err)
    assert f"{data}:1" not in said
    assert run(["estimate", seeing, "--image-size", "10x2001"]) == 2
    assert "image_size: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (LLAMA, "llama sees nothing"),
        (LLAMA | {"model_type": "gemma3", "vision_config": {}}, "how models of type gemma3 see is not known"),
    ],
)
def test_a_model_that_sees_nothing_is_shown_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: dict[str, Any], why: str
) -> None:
    """The row is named, with the reason."""
    data = write(tmp_path / "rows.jsonl", row("a", picture(tmp_path, 40, 40)))
    assert run(["estimate", str(model(tmp_path / "model", config)), "--data", data]) == 2
    assert f"{data}:1: the row has images: {why}" in capsys.readouterr().err


def test_a_scan_counts_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the model's own processor makes them; pixels that cannot be read, and an image that is not there, by line."""
    names = [picture(tmp_path, *size) for size in ((300, 200), (56, 70))]
    (tmp_path / "cut.png").write_bytes((tmp_path / names[0]).read_bytes()[:60])
    rows = [row("a"), row("a", *names), row("a", "cut.png"), row("a", "gone.png"), row("a long one " * 9)]
    data = write(tmp_path / "rows.jsonl", *rows)
    assert run(["data", data, "--model", str(SEEING), "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert [bad["where"] for bad in told["bad"]] == [f"{data}:3", f"{data}:4"]
    assert "the pixels of the image" in told["bad"][0]["reason"]
    assert all(check["is_right"] for check in told["checks"])
    shown = told["shown"]
    assert (shown["rows"], shown["smallest"], shown["largest"]) == (1, [56, 70], [300, 200])
    assert (shown["longest"]["where"], shown["longest_text"]["where"]) == (f"{data}:5", f"{data}:5")
    assert told["image_share"] == shown["image_tokens"] / told["tokens"]["total"]
    assert run(["data", data]) == 2
    assert "in images" not in capsys.readouterr().out


def test_a_run_of_a_blind_model_trains_on_no_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are not left out in silence."""
    (tmp_path / "job.yaml").write_text("model: examples/base\ndata: rows.jsonl\ngpu: cpu\n")
    data = write(tmp_path / "rows.jsonl", row("a", picture(tmp_path, 40, 40)))
    base = Path(__file__).parent.parent / "examples" / "base"
    assert run(["train", str(tmp_path / "job.yaml"), "--model", str(base)]) == 2
    assert f"{data}:1: the row has images: llama sees nothing" in capsys.readouterr().err


SEEING = Path(__file__).parent.parent / "examples" / "pictures" / "model"


def refused(capsys: pytest.CaptureFixture[str], job: Path, data: str, *words: str) -> str:
    job.write_text(f"model: {SEEING}\ndata: {data}\ngpu: cpu\n")
    assert run(["train", str(job), *words]) == 2
    return capsys.readouterr().err


def test_what_does_not_go_with_images_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Packing, rows that show nothing beside those that do where several GPUs go through them together, FSDP2,
    preferences, held-out rows that alone show something, and a folder without a processor; each before anything is
    trained."""
    job, data = tmp_path / "job.yaml", write(tmp_path / "rows.jsonl", row("a", picture(tmp_path, 40, 40)))
    assert "packing: " in refused(capsys, job, data, "--packing", "true")
    with pytest.raises(BadInput, match="it does not go with rows that show images"):
        plan_job(str(job), {"gpu": "2xA100-80GB", "fsdp": "true"}, Lines())
    mixed = write(tmp_path / "mixed.jsonl", row("a", picture(tmp_path, 40, 40)), row("b"))
    with pytest.raises(BadInput, match="the row shows no image") as caught:
        plan_job(str(job), {"gpu": "2xA100-80GB", "data": mixed}, Lines())
    assert [problem.where for problem in caught.value.problems] == [f"{mixed}:2"]
    pair = {"chosen": [{"role": "assistant", "content": "a"}], "rejected": [{"role": "assistant", "content": "b"}]}
    pairs = write(tmp_path / "pairs.jsonl", {"prompt": "a", **pair, "images": ["40x40.png"]})
    assert "pairs.jsonl:1: the row has images" in refused(capsys, job, pairs, "--task", "dpo")
    words = write(tmp_path / "words.jsonl", row("a"))
    assert "its rows show images, and no row" in refused(capsys, job, words, "--eval-data", data)
    shutil.copytree(SEEING, tmp_path / "blind", ignore=shutil.ignore_patterns("preprocessor*"))
    assert "no preprocessor_config.json" in refused(capsys, job, data, "--model", str(tmp_path / "blind"))


def test_a_row_with_an_image_is_not_answered_as_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is named, wherever its image is, where a model sees nothing."""
    parts = [{"type": "image", "image": "40x40.png"}, {"type": "text", "text": "a"}]
    asked = write(tmp_path / "asked.jsonl", row("a", picture(tmp_path, 40, 40)), row(parts))
    blind = Path(__file__).parent.parent / "examples" / "base"
    assert run(["generate", str(blind), "--input", asked, "-o", str(tmp_path / "out.jsonl")]) == 2
    said = capsys.readouterr().err
    assert all(f"{asked}:{line}: the row has images: llama sees nothing" in said for line in (1, 2))


def test_a_size_does_not_go_with_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They say themselves what they show."""
    data = write(tmp_path / "rows.jsonl", row("a"))
    assert run(["estimate", "Qwen/Qwen2-VL-2B-Instruct", "--data", data, "--image-size", "64x64"]) == 2
    assert "does not go with a file's rows" in capsys.readouterr().err
