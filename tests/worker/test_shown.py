"""Rows that show images of their own: against TRL's collator, transformers' processors and the real step."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import pytest
from processors import PROCESSORS, model_folder
from recipes import TWICE, merged, orders
from test_rehearsal import curve, real_step
from trl import chat_template_utils
from vision import FAMILIES, FROZEN, some_of

from finefit.errors import BadInput
from finefit.nouns.knobs import Knobs
from finefit.nouns.method import LoRA
from finefit.nouns.model import Model
from finefit.nouns.recording import Recording
from finefit.rehearsal.files import Files
from finefit.rehearsal.own_images import told_of, with_images
from finefit.rehearsal.recipe import Recipe
from finefit.tape.peaks import phase_peaks
from finefit.worker import rehearse
from finefit.worker.images import ImageCollator, collator_of
from finefit.world.gpus import machine_named
from finefit.world.lengths import approximate_lengths
from finefit.world.rows import check_rows
from pictures import picture, row, uneven, write

PIL = pytest.importorskip("PIL.Image")


@pytest.fixture
def data(tmp_path: Path) -> str:
    return uneven(tmp_path)


def told(path: str, config: dict[str, Any], folder: Path | None = None, **changes: Any) -> dict[str, Any]:
    """As the planner tells the worker: with the folder's tokenizer, or with lengths that are guessed."""
    rows = check_rows(path, blind="")
    lengths = {} if folder else {"lengths": approximate_lengths(path, rows, assistant_only=True)}
    order = orders(
        data={"train": path, "eval": None, **lengths},
        max_length=None,
        trainer={"assistant_only_loss": True},
        model={"folder": None if folder is None else str(folder)},
    )
    order["model"]["config"] = config
    recipe = Recipe(Model("", config), LoRA(), Knobs(max_length=0, per_device_train_batch_size=2), machine_named("cpu"))
    return merged(with_images(order, told_of(Files(rows, None), recipe.model), rows, recipe), changes)


def rehearsed(order: dict[str, Any]) -> tuple[Recording, Any]:
    with contextlib.redirect_stdout(io.StringIO()):
        recording, data = rehearse._rehearse(order, None)
    return Recording.from_json(recording), data


def of_rows(order: dict[str, Any], rows: list[Any]) -> dict[str, Any]:
    return order | {"rehearsal": order["rehearsal"] | {"rows": rows, "held_out": []}}


WAYS: dict[str, dict[str, Any]] = {
    "adapters, checkpointed": {"gradient_checkpointing": "all"},
    "full, tower frozen": {"peft": None, "tower": FROZEN},
}


@pytest.mark.wide(3)
@pytest.mark.parametrize(("family", "way"), some_of(WAYS, 2))
def test_the_named_rows_take_what_the_real_step_takes(data: str, family: str, way: str) -> None:
    """Each micro-batch that may be the fullest has the very peak of the real step on these rows, in every phase, and
    the live bytes after every event; padding, rows without an image, and several sizes in a row among them."""
    order = told(data, FAMILIES[family][0](), **WAYS[way])
    fake, known = rehearsed(order)
    for rows in (known.fullest, *known.others):
        real = real_step(of_rows(order, rows))
        fake = fake if rows is known.fullest else rehearsed(of_rows(order, rows))[0]
        assert phase_peaks(fake) == phase_peaks(real)
        assert curve(fake) == curve(real)


@pytest.mark.parametrize("family", PROCESSORS)
def test_a_batch_is_the_collators_own(tmp_path: Path, data: str, family: str) -> None:
    """With the model's tokenizer, rows have the tokens and labels that TRL's vision collator makes with transformers'
    own processor, and a batch has its tensors, in their shapes and dtypes."""
    import torch
    from trl.chat_template_utils import get_training_chat_template
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    config, processor = model_folder(tmp_path, family)
    order = told(data, config, tmp_path)
    _, known = rehearsed(order)
    template = get_training_chat_template(processor.tokenizer)
    collator = DataCollatorForVisionLanguageModeling(processor, assistant_only_loss=True, chat_template=template)
    examples = rows_with_pictures(Path(data))
    for batch, rows in zip(known.facts["batches"], (known.fullest, *known.others), strict=True):
        theirs, ours = collator([dict(examples[number]) for number in batch["rows"]]), collator_of(order)(rows)
        assert {name: (value.shape, value.dtype) for name, value in ours.items()} == {
            name: (value.shape, value.dtype) for name, value in theirs.items()
        }
        token = order["rehearsal"]["images"]["token"]
        assert torch.equal((ours["input_ids"] == token).sum(1), (theirs["input_ids"] == token).sum(1))
        assert torch.equal(ours["labels"] == -100, theirs["labels"] == -100)
        if family != "idefics3":  # whose processor writes text between pieces
            assert torch.equal(ours["input_ids"], theirs["input_ids"])
        if "image_grid_thw" in theirs:
            assert torch.equal(ours["image_grid_thw"], theirs["image_grid_thw"])


def rows_with_pictures(path: Path) -> list[dict[str, Any]]:
    import json

    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        each | {"images": [PIL.open(path.parent / name).convert("RGB") for name in each["images"]]} for each in rows
    ]


def test_the_facts_are_those_of_the_rows(tmp_path: Path, data: str) -> None:
    """With the tokens that images become: as many as the rows have that are rehearsed, of every one of them."""
    config, _ = model_folder(tmp_path, "qwen2_vl")
    _, known = rehearsed(told(data, config, tmp_path))
    batches = [known.fullest, *known.others]
    lengths = {
        number: len(row["input_ids"])
        for told_of, rows in zip(known.facts["batches"], batches, strict=True)
        for number, row in zip(told_of["rows"], rows, strict=True)
    }
    assert lengths.keys() == {0, 2, 3}
    assert [each["length"] for each in known.facts["batches"]] == [lengths[0], lengths[2]]
    assert known.facts["longest_tokens"] == lengths[0]
    assert known.facts["shortest_tokens"] < min(lengths.values())
    assert known.facts["rows"] == 4
    assert known.facts["trained_tokens"] < known.facts["total_tokens"] < 4 * lengths[0]


def test_every_micro_batch_is_of_the_same_rows(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are not shuffled: a batch shows the same images in each step that is rehearsed."""
    met = []
    whole = ImageCollator.__call__

    def heard(self: ImageCollator, rows: Any) -> Any:
        met.append([tuple(row["shows"]) for row in rows])
        return whole(self, rows)

    monkeypatch.setattr(ImageCollator, "__call__", heard)
    order = told(data, FAMILIES["qwen2_vl"][0](), trainer={"per_device_train_batch_size": 4})
    rehearsed(merged(order, TWICE))
    assert len(met) >= 4
    assert all(batch == met[0] for batch in met)
    assert len(set(met[0])) == 4


def test_a_template_without_a_place_for_images_is_named(tmp_path: Path, data: str) -> None:
    """By the lines whose images have none; nothing is guessed."""
    config, processor = model_folder(tmp_path, "qwen2_vl")
    template = chat_template_utils.qwen2_5_vl_training_chat_template
    processor.tokenizer.chat_template = template.replace("<|image_pad|>", "")
    processor.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(BadInput) as caught:
        rehearsed(told(data, config, tmp_path))
    assert [problem.where for problem in caught.value.problems] == [f"{data}:{line}" for line in (2, 3, 4)]


def test_long_rows_are_named_with_their_images(tmp_path: Path) -> None:
    """A row that images make too long is bad input, by its line in the file."""
    path = Path(write(tmp_path / "rows.jsonl", row("w1"), row("w2", picture(tmp_path, 280, 280))))
    path.write_text("\n" + path.read_text())
    order = told(str(path), FAMILIES["qwen2_vl"][0]()) | {"max_length": 100}
    with pytest.raises(BadInput, match=r"rows\.jsonl:3: the row has 114 tokens, more than max_length 100"):
        rehearsed(order)
