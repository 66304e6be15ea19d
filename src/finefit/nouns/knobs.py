"""What a plan decides: how the wished mathematics is executed. Names are Hugging Face's and TRL's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from .engine import Offload, ZeroStage

Dtype = Literal["bfloat16", "float16", "float32"]
MixedPrecision = Literal["no", "bf16", "fp16"]
Attention = Literal["eager", "sdpa", "flash_attention_2"]
Loss = Literal["full", "fused", "liger"]
Checkpointing = int | Literal["all"]
"""How many of the first layers are checkpointed: 0 is none."""
USUAL_LENGTH = 2048
"""Of rows, in tokens, where neither a length nor a file is given."""


@dataclass(frozen=True)
class Knobs:
    max_length: int
    # tokens of the longest sequence
    per_device_train_batch_size: int = 1
    gradient_accumulation_steps: int = 1
    gradient_checkpointing: Checkpointing = "all"
    dtype: Dtype = "bfloat16"
    # of the weights
    mixed_precision: MixedPrecision = "bf16"
    # autocast
    optim: str = "adamw_torch_fused"
    attn_implementation: Attention = "sdpa"
    loss: Loss = "fused"
    # fused: TRL's head, which never builds the logits; liger: Liger's, likewise; full: whole logits, as transformers
    # computes them
    use_liger_kernel: bool = False
    # Liger's kernels for the rotary embedding, the norms and the MLP of every layer
    packing: bool = False
    # a micro-batch is one sequence, of rows that do not see each other: TRL's best-fit-decreasing, without padding
    expandable_segments: bool = False
    # of CUDA's caching allocator: one segment that grows page by page, in the place of many; torch's default is off
    zero_stage: ZeroStage | None = None
    # DeepSpeed's; None: without DeepSpeed
    offload: Offload = "none"
    # to the host's memory, by DeepSpeed or FSDP2
    fsdp: bool = False
    # torch's FSDP2
    freeze_vision_tower: bool = False
    # of a model that sees: the language model alone is trained, or has adapters; what projects images stays, too
    vit_gradient_checkpointing: bool | None = None
    # the tower's layers recomputed; None: as transformers' one switch sets them, where any layer is

    @property
    def sequences(self) -> int:
        """Of a micro-batch, as the model sees it."""
        return 1 if self.packing else self.per_device_train_batch_size

    @property
    def length(self) -> int:
        """Tokens of each."""
        return self.max_length * (self.per_device_train_batch_size if self.packing else 1)

    @property
    def seen(self) -> Knobs:
        """With micro-batches as the model sees them."""
        return replace(self, per_device_train_batch_size=self.sequences, max_length=self.length)
