"""How a training loop that is not finefit's own may differ from it, where memory is concerned.

Published measurements come from such loops; an estimate is held against them with their loop. A run never uses this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Loop:
    attention_kernel: Literal["auto", "flash", "efficient", "math"] = "auto"
    # auto: the one torch would take; else what `torch.nn.attention.sdpa_kernel` forces
    hold_outputs: Literal["no", "step", "next"] = "no"
    # the model's output, and so the logits, stays alive to the end of the step, or until the next output replaces it
    adapter_dtype: Literal["float32", "bfloat16", "float16"] | None = None
    # None: finefit's float32
    kbit_preparation: bool = True
    # PEFT's casts of what is not quantised to float32
