"""What a model's folder has for words and for pictures: its tokenizer, and the processor around it.

Knows: processors without torchvision (`bends/videos.py`); chat templates that older checkpoints keep beside the
tokenizer. Does not know: videos.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import AutoProcessor, AutoTokenizer

from .bends.offsets import leave_offsets
from .bends.videos import without_torchvision

TEMPLATE = "chat_template.json"
"""Where processors kept theirs before transformers 4.52."""
PAPERS = ("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json", TEMPLATE)
"""What a processor is read from, beside the tokenizer's own files. Training changes nothing of it."""


def tokenizer_of(folder: str) -> Any:
    return _with_template(AutoTokenizer.from_pretrained(folder), folder)


def processor_of(folder: str) -> Any:
    leave_offsets()
    with without_torchvision():
        processor = AutoProcessor.from_pretrained(folder)
    _with_template(processor.tokenizer, folder)
    return processor


def papers_of(folder: str) -> list[Path]:
    return [path for name in PAPERS if (path := Path(folder) / name).is_file()]


def _with_template(tokenizer: Any, folder: str) -> Any:
    """The processor's, where the tokenizer has none of its own."""
    path = Path(folder) / TEMPLATE
    if tokenizer.chat_template is None and path.is_file():
        tokenizer.chat_template = json.loads(path.read_text(encoding="utf-8"))["chat_template"]
    return tokenizer
