"""Conversations as `generate` takes them: token ids, and what the model's own processor makes of images.

A message's content is text, or parts: `{"type": "text", "text": ...}` and `{"type": "image", "image": ...}`, a whole
path or a data URL. Where a model was trained on rows with images, or its chat template leaves out text that is in none
(`plain_text.py`), all content is in parts, as TRL has it.

Knows: the chat template of the tokenizer that was trained with; the processor of the model's folder, of which training
changes nothing. Does not know: videos; how many tokens an image becomes before the processor reads it, which the orders
say (`added`).

Orders: model (its folder), adapter (folder or null), in_parts (whether all content is; may be missing).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from finefit.errors import BadInput, Problem
from finefit.nouns.formats.image_refs import Unreadable

from . import picture, processor
from .plain_text import needs_parts

Messages = list[dict[str, Any]]
ROOT = Path("/")
"""Paths are whole: who asked said which."""


@dataclass(frozen=True)
class Prompt:
    where: str
    # what to call it
    messages: Messages
    # in parts where any of them shows something
    ids: list[int]
    # with one placeholder for each image
    added: int
    # tokens to which these grow

    @property
    def tokens(self) -> int:
        return len(self.ids) + self.added

    @property
    def images(self) -> int:
        return _images(self.messages)


class Reader:
    """Of what is asked. Raises `BadInput` where a tokenizer has no chat template."""

    def __init__(self, orders: Mapping[str, Any]) -> None:
        self._folder = orders["model"]["folder"]
        self.tokenizer = processor.tokenizer_of(orders["adapter"] or self._folder)
        if self.tokenizer.chat_template is None:
            raise BadInput(Problem("the tokenizer has no chat template", where=str(self.tokenizer.name_or_path)))
        self._in_parts = orders.get("in_parts", False) or needs_parts(self.tokenizer)

    def prompt(self, messages: Messages, where: str, added: int = 0) -> Prompt:
        """Raises `BadInput` where a chat template has no place for an image."""
        if self._in_parts or any(isinstance(message["content"], list) for message in messages):
            messages = [message | {"content": _parts(message["content"])} for message in messages]
        written = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
        made = Prompt(where, messages, written["input_ids"], added)
        places = made.ids.count(self._processor.image_token_id) if made.images else 0
        if places != made.images:
            what = f"the model's chat template writes {places} places for {made.images} images"
            raise BadInput(Problem(what, where))
        return made

    def inputs(self, prompts: Sequence[Prompt]) -> dict[str, torch.Tensor]:
        """For `generate`, padded on the left. Raises `BadInput` where an image cannot be read."""
        if any(prompt.images for prompt in prompts):
            return self._processed(prompts)
        longest = max(len(prompt.ids) for prompt in prompts)
        padding = [longest - len(prompt.ids) for prompt in prompts]
        return {
            "input_ids": torch.tensor(
                [[self.pad] * left + prompt.ids for left, prompt in zip(padding, prompts, strict=True)]
            ),
            "attention_mask": torch.tensor([[0] * left + [1] * (longest - left) for left in padding]),
        }

    def _processed(self, prompts: Sequence[Prompt]) -> dict[str, torch.Tensor]:
        """No token is added before the first, as in training."""
        words = {"padding": True, "padding_side": "left", "add_special_tokens": False}
        made = self._processor.apply_chat_template(
            [_with_pictures(prompt) for prompt in prompts],
            chat_template=self.tokenizer.chat_template,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs=words,
        )
        return dict(made)

    @cached_property
    def _processor(self) -> Any:
        made = processor.processor_of(self._folder)
        made.tokenizer = self.tokenizer
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        return made

    @property
    def pad(self) -> int:
        """Any token will do where nothing looks at it."""
        found = (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id)
        return next((token for token in found if token is not None), 0)


def _parts(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _images(messages: Messages) -> int:
    return sum(part["type"] == "image" for message in messages for part in _shown(message))


def _shown(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    return message["content"] if isinstance(message["content"], list) else []


def _with_pictures(prompt: Prompt) -> Messages:
    """Also where it shows none, as the processor takes them beside others."""
    try:
        return [
            message | {"content": [_with_picture(part) for part in _parts(message["content"])]}
            for message in prompt.messages
        ]
    except Unreadable as error:
        raise BadInput(Problem(str(error), where=prompt.where)) from None


def _with_picture(part: dict[str, Any]) -> dict[str, Any]:
    return part | {"image": picture.read(part["image"], ROOT)} if part["type"] == "image" else part
