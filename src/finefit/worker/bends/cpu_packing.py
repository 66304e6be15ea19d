"""bitsandbytes repacks 4-bit weights for the processor's AVX-512, and then trains nothing.

Once a 4-bit layer has run in evaluation on a processor with AVX-512 BF16, `Linear4bit.forward` (0.50) has its weight in
`packing_format_for_cpu`, which `matmul_4bit` multiplies outside of autograd and without the nested statistics: training
that goes on after an evaluation fails, or learns nothing. The repacking is switched off, layer by layer.
Ends when bitsandbytes unpacks for training, or asks before it packs.
"""

from __future__ import annotations

from typing import Any


def keep_trainable_layout(model: Any) -> Any:
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model
