"""Answers to images: what `model.generate` writes of the processor's own inputs, however it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from processors import loadable
from vision import FAMILIES

from finefit.errors import BadInput
from finefit.nouns.sampling import Sampling
from finefit.worker.answers import answered, ends_of, model_of
from finefit.worker.processor import processor_of
from finefit.worker.prompts import Messages, Reader
from pictures import picture

Image = pytest.importorskip("PIL.Image")
pytestmark = pytest.mark.xdist_group("seen answers")

TOKENS = 6
Asked = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """Orders to answer with a model of each family, and random weights."""

    def make(family: str) -> dict[str, Any]:
        folder = tmp_path_factory.mktemp(family)
        loadable(folder, family)
        model = {"folder": str(folder), "config": FAMILIES[family][0](), "dtype": "float32", "quantization": None}
        model |= {"attn_implementation": "sdpa", "trust_remote_code": False, "prepare": True}
        told = {"model": model, "adapter": None, "device": "cpu", "in_parts": True}
        return told | Sampling(max_new_tokens=TOKENS).lower()

    return make


def shown(text: str, *paths: Path) -> Messages:
    images = [{"type": "image", "image": str(path)} for path in paths]
    return [{"role": "user", "content": [*images, {"type": "text", "text": text}]}]


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> list[Messages]:
    """That show one image, another one, none, two of other sizes, and one after an answer."""
    folder = tmp_path_factory.mktemp("pictures")
    small, wide, tall = (folder / picture(folder, *size) for size in ((60, 50), (150, 90), (70, 160)))
    said = [{"role": "assistant", "content": [{"type": "text", "text": " w4 w5"}]}]
    later = shown(" w9", tall) + said + shown(" w8")
    return [shown(" w1", small), shown(" w1", tall), shown(" w1"), shown(" w1", wide, tall), later]


def lively(model: Any) -> Any:
    """Weights that are drawn wider: what the model reads decides what it says."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.2)
    return model


def by_hand(model: Any, orders: dict[str, Any], messages: Messages) -> list[int]:
    """With transformers alone."""
    processor = processor_of(orders["model"]["folder"])
    opened = [
        message
        | {
            "content": [
                part | {"image": Image.open(part["image"]).convert("RGB")} if part["type"] == "image" else part
                for part in message["content"]
            ]
        }
        for message in messages
    ]
    template = processor.tokenizer.chat_template
    words = {"tokenize": True, "return_dict": True, "return_tensors": "pt"}
    inputs = processor.apply_chat_template(opened, chat_template=template, add_generation_prompt=True, **words)
    ends = ends_of(model, processor.tokenizer)
    written = model.generate(
        **inputs,
        max_new_tokens=TOKENS,
        do_sample=False,
        eos_token_id=ends,
        pad_token_id=processor.tokenizer.pad_token_id,
    )
    return list(written[0, inputs["input_ids"].shape[1] :].tolist())


@pytest.mark.wide(3)
@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_is_that_of_transformers(asked: Asked, questions: list[Messages], family: str) -> None:
    """The likeliest tokens, of each question alone and of all beside each other; what is shown matters."""
    orders = asked(family)
    model, reader = lively(model_of(orders)), Reader(orders)
    prompts = [reader.prompt(messages, "it") for messages in questions]
    alone = [answered(model, reader, [prompt], orders)[0] for prompt in prompts]
    assert alone == [by_hand(model, orders, messages) for messages in questions]
    assert answered(model, reader, prompts[2:] + prompts[:2], orders) == alone[2:] + alone[:2]
    assert len({tuple(tokens) for tokens in alone}) == len(questions)


def test_an_adapter_is_beside_the_same_processor(asked: Asked, questions: list[Messages], tmp_path: Path) -> None:
    """Its folder has the tokenizer alone; the answer is that of the two together, and not that of the base."""
    orders = asked("idefics3")
    base = model_of(orders)
    lively(base).save_pretrained(orders["model"]["folder"])
    told = [reader.prompt(messages, "it") for reader in [Reader(orders)] for messages in questions]
    alone = answered(base, Reader(orders), told, orders)
    tuned = get_peft_model(base, LoraConfig(target_modules="all-linear", init_lora_weights=False))
    tuned.save_pretrained(tmp_path)
    Reader(orders).tokenizer.save_pretrained(tmp_path)
    orders = orders | {"adapter": str(tmp_path)}
    model, reader = model_of(orders), Reader(orders)
    prompts = [reader.prompt(messages, "it") for messages in questions]
    found = [answered(model, reader, [prompt], orders)[0] for prompt in prompts]
    assert found == [by_hand(model, orders, messages) for messages in questions]
    assert found != alone


def test_an_image_that_is_gone_is_bad_input(asked: Asked, tmp_path: Path) -> None:
    """By what the question is called; so is a template that has no place for it."""
    reader = Reader(orders := asked("qwen2_vl"))
    prompt = reader.prompt(shown("w1", tmp_path / "gone.png"), "rows.jsonl:3")
    with pytest.raises(BadInput, match=r"rows\.jsonl:3: an image cannot be read: .*gone\.png"):
        reader.inputs([prompt])
    reader.tokenizer.chat_template = reader.tokenizer.chat_template.replace("<|image_pad|>", "")
    with pytest.raises(BadInput, match=r"rows\.jsonl:4: .* writes 0 places for 1 images"):
        reader.prompt(shown("w1", tmp_path / "gone.png"), "rows.jsonl:4")
    assert orders["model"]["folder"]
