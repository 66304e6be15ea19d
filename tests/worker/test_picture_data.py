"""`finefit data` of rows that show images: against TRL's vision collator and the model's own processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from processors import loadable
from trl import chat_template_utils
from vision import FAMILIES

from finefit import api
from finefit.api.scanned_images import shown_in
from finefit.lower.rows import rows_orders
from finefit.nouns.planned import NoFit
from finefit.rehearsal.files import Files
from finefit.rehearsal.own_images import told_of
from finefit.run import folder as runs
from finefit.show.live import Lines
from finefit.worker.data import looked
from finefit.worker.pictures import pictured
from finefit.worker.plain_text import as_written, needs_parts
from finefit.worker.processor import processor_of, tokenizer_of
from finefit.worker.prompts import Reader
from finefit.worker.rows import dataset_of
from finefit.world.models import find_model
from finefit.world.rows import Rows, scan
from pictures import row, said, uneven, write

pytest.importorskip("PIL.Image")
pytestmark = pytest.mark.xdist_group("picture data")


@pytest.fixture
def data(tmp_path: Path) -> str:
    return uneven(tmp_path)


def seeing(folder: Path, family: str) -> Path:
    (made := folder / "model").mkdir()
    loadable(made, family)
    return made


def asked(path: str, folder: Path) -> tuple[dict[str, Any], Rows]:
    """As `finefit data` tells the worker."""
    rows = scan(path, blind="")
    orders = rows_orders(path, rows.format, rows.bad, str(folder))
    told = told_of(Files(rows, None), find_model(str(folder)))
    return orders | {"data": orders["data"] | told.data, "images": told.images}, rows


@pytest.mark.wide(3)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_is_as_long_as_training_makes_it(tmp_path: Path, data: str, family: str) -> None:
    """All tokens, the trained ones, and the placeholders of images: those of TRL's collator, of every row alone."""
    from trl.chat_template_utils import get_training_chat_template
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    folder = seeing(tmp_path, family)
    orders, rows = asked(data, folder)
    found = looked(orders)
    processor = processor_of(str(folder))
    template = get_training_chat_template(processor.tokenizer)
    collator = DataCollatorForVisionLanguageModeling(processor, assistant_only_loss=True, chat_template=template)
    made = [collator([one.example()]) for one in pictured(orders["data"], "train")]
    theirs = [[batch["input_ids"].shape[1], int((batch["labels"] != -100).sum())] for batch in made]
    assert found["lengths"] == theirs
    shown = shown_in(data, rows, find_model(str(folder)), [tokens for tokens, _ in theirs])
    assert shown.image_tokens == sum(int((batch["input_ids"] == orders["images"]["token"]).sum()) for batch in made)
    assert all(check["is_right"] for check in found["checks"] if "processor" in check["what"])


def test_placeholders_are_shown_once(tmp_path: Path, data: str) -> None:
    """With how many they are; what is trained is what the assistant says, with its end."""
    folder = seeing(tmp_path, "qwen2_vl")
    orders, _ = asked(data, folder)
    [_, short, _] = sorted(looked(orders)["examples"], key=lambda example: -example["tokens"])
    runs = [sum(size["runs"]) for size in orders["images"]["sizes"]]
    text = "".join(piece["text"] for piece in short["pieces"])
    assert text.count("<|image_pad|>") == 1
    assert any(f"<|vision_start|><|image_pad|> × {run}<|vision_end|>" in text for run in runs)
    [said] = [piece["text"] for piece in short["pieces"] if piece["is_trained"]]
    assert "w7" in said
    assert "<|im_end|>" in said


def test_a_processor_that_does_otherwise_is_a_wrong_check(tmp_path: Path, data: str) -> None:
    """With the row, and both counts; so is none at all, and a template without a place."""
    folder = seeing(tmp_path, "qwen2_vl")
    orders, _ = asked(data, folder)
    orders["images"]["sizes"][1]["runs"] = [3]
    [wrong] = [check for check in looked(orders)["checks"] if not check["is_right"]]
    assert f"{data}:3 has " in wrong["why"]
    (folder / "preprocessor_config.json").unlink()
    assert [check["what"] for check in looked(orders)["checks"] if not check["is_right"]] == [wrong["what"]]
    template = chat_template_utils.qwen2_5_vl_training_chat_template.replace("<|image_pad|>", "")
    (folder / "chat_template.jinja").write_text(template)
    found = looked(orders)
    assert found["lengths"] is None
    assert any("a place for each image" in check["what"] for check in found["checks"] if not check["is_right"])


@pytest.mark.wide(3)
@pytest.mark.parametrize("family", FAMILIES)
def test_rows_of_text_alone_keep_their_words(tmp_path: Path, family: str) -> None:
    """Some templates write nothing of text that is in no part: there it is in parts, as what is asked later is."""
    folder = seeing(tmp_path, family)
    path = write(tmp_path / "text.jsonl", row("w1 w2", answer="w3"), row("w4", answer="w5 w6"))
    rows = scan(path, blind="")
    orders = rows_orders(path, rows.format, rows.bad, str(folder))
    found, tokenizer = looked(orders), tokenizer_of(str(folder))
    assert all(check["is_right"] for check in found["checks"] if "template" in check["what"])
    dataset = as_written(tokenizer, dataset_of(orders["data"], "train"))
    assert needs_parts(tokenizer) is not isinstance(dataset[0]["messages"][0]["content"], str)
    texts = [tokenizer.apply_chat_template(each["messages"], tokenize=False) for each in dataset]
    for text, words in zip(texts, (("w1 w2", "w3"), ("w4", "w5 w6")), strict=True):
        assert all(each in text for each in words)
    assert [tokens for tokens, _ in found["lengths"]] == [len(tokenizer(text)["input_ids"]) for text in texts]
    asked = Reader({"model": {"folder": str(folder)}, "adapter": None}).prompt([said("w7 w8")], "here")
    assert "w7 w8" in tokenizer.apply_chat_template(asked.messages, tokenize=False)


def test_a_model_that_sees_is_trained_on_text_as_planned(tmp_path: Path) -> None:
    """With a template that writes parts alone: its words are counted, and the receipt is the plan's."""
    path = write(tmp_path / "text.jsonl", *(row("w1 w2", answer="w3 " * (1 + count % 9)) for count in range(16)))
    words = {"model": seeing(tmp_path, "idefics3"), "data": path, "method": "full", "gpu": "cpu", "max_steps": 3}
    job = tmp_path / "job.yaml"
    job.write_text("\n".join(f"{key}: {value}" for key, value in words.items()), encoding="utf-8")
    receipt = api.train(str(job), {"output_dir": str(tmp_path / "run")}, False, Lines())
    assert not isinstance(receipt, NoFit)
    for gap in receipt.phases:
        assert gap.predicted_bytes == pytest.approx(gap.measured_bytes, rel=1e-3)
    plan = runs.read_plan(runs.open_run(tmp_path / "run"))
    assert plan.data.shortest_tokens > len(["w1", "w2"])
    assert plan.data.longest_tokens >= plan.data.shortest_tokens + 8
