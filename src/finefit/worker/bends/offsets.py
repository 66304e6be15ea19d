"""Idefics3's processor makes tensors of what is none.

To know which tokens an assistant says, `apply_chat_template` asks processors where text was replaced. All of them leave
that out of what becomes tensors, but Idefics3's (transformers 5.23, processing_idefics3.py, `__call__`): a batch fails
whose first row shows no image.
Ends when it hands `skip_tensor_conversion` on, as ProcessorMixin does.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from transformers.feature_extraction_utils import BatchFeature
from transformers.models.idefics3 import processing_idefics3
from transformers.processing_utils import ProcessorMixin


def leave_offsets() -> None:
    asked: Any = partial(BatchFeature, skip_tensor_conversion=ProcessorMixin.skip_tensor_conversion)
    processing_idefics3.BatchFeature = asked
