"""Which of two operations multiplies by all experts at once depends on the GPU, and a rehearsal has none to ask.

Source: transformers 5.17 and 5.23, integrations/moe.py, `_can_use_grouped_mm`: torch's own from compute capability 8.0
on (before torch 2.9 on 9.x alone), elsewhere `grouped_mm_fallback`, which writes gradients of frozen experts too.
`experts_implementation` is "grouped_mm" wherever the model's class allows it, on any GPU and with any torch
(modeling_utils.py, `get_correct_experts_implementation`); other classes (DBRX, JetMoe, Llama 4) run experts their way.

Does not know what torch's operation takes inside: in bfloat16 on 9.x and 10.x a table of pointers and CUTLASS's own
workspace, whose size was not looked up (GroupMM.cu, `bf16bf16_grouped_gemm_impl_sm90_sm100`); elsewhere it is one
product after another (GroupedBlas.cpp, `_grouped_mm_cuda`).
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.integrations import moe
from transformers.utils.import_utils import is_torch_greater_or_equal

AMPERE, HOPPER, BLACKWELL = (8, 0), (9, 0), (10, 0)


def answers(capability: tuple[int, int]) -> list[Any]:
    def can_use_grouped_mm(*_: Any) -> bool:
        return _has_grouped_mm() and _serves(capability)

    return [(moe, "_can_use_grouped_mm", can_use_grouped_mm)]


def _has_grouped_mm() -> bool:
    return hasattr(torch.nn.functional, "grouped_mm") or hasattr(torch, "_grouped_mm")


def _serves(capability: tuple[int, int]) -> bool:
    if is_torch_greater_or_equal("2.9", accept_dev=True):
        return capability >= AMPERE
    return HOPPER <= capability < BLACKWELL
