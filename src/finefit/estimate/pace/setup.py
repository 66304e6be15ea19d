"""What of a recipe decides how long its kernels take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from finefit.catalog.images import patches_of, shown
from finefit.catalog.modules import TOWER
from finefit.catalog.rates import Rates
from finefit.nouns.images import Images
from finefit.nouns.knobs import Knobs
from finefit.nouns.loop import Loop
from finefit.nouns.method import Full, LoRA, Method, QLoRA
from finefit.nouns.model import Model
from finefit.nouns.task import ROWS, Task, sequences_of

from ..load import WIDTH

FLOAT32, HALF = 4, 2
OURS = Loop()


BETWEEN = frozenset({"merger", "deepstack_merger_list", "connector", "modality_projection", "multi_modal_projector"})
"""What fits a tower's pieces to the language model: there are as many rows as tokens stand for images."""


@dataclass(frozen=True)
class Tower:
    """What a vision tower reads in a micro-batch."""

    patches: int
    tokens: int
    # of the language model
    images: int


@dataclass(frozen=True)
class Setup:
    model: Model
    method: Method
    knobs: Knobs
    # of one GPU: its micro-batch
    rates: Rates
    loop: Loop = OURS
    task: Task = ROWS
    images: Images | None = None
    # of every row

    @property
    def tokens(self) -> int:
        """Of a micro-batch, padding too."""
        return self.sequences * self.knobs.max_length

    @property
    def sequences(self) -> int:
        return self.knobs.per_device_train_batch_size * sequences_of(self.task)

    @cached_property
    def tower(self) -> Tower | None:
        """None where no images are shown."""
        known = None if self.images is None else shown(self.model.config, self.images)
        if known is None or self.images is None:
            return None
        patches = patches_of(self.model.config, known)
        return Tower(self.sequences * patches, self.sequences * known.tokens, self.sequences * self.images.count)

    def rows_of(self, module: str) -> int:
        """Of the matrix that a module of this name multiplies."""
        if self.tower is None:
            return self.tokens
        parts = set(module.split("."))
        if parts.isdisjoint(TOWER):
            return self.tokens
        return self.tower.tokens if parts & BETWEEN else self.tower.patches

    @property
    def trains_all(self) -> bool:
        return isinstance(self.method, Full)

    @property
    def is_dora(self) -> bool:
        return isinstance(self.method, LoRA | QLoRA) and self.method.use_dora

    @property
    def rank(self) -> int:
        """Of adapters; 0 where there are none."""
        return 0 if isinstance(self.method, Full) else self.method.r

    @cached_property
    def text(self) -> Mapping[str, Any]:
        """The language model's part of the configuration."""
        return self.model.config.get("text_config") or self.model.config

    @property
    def is_autocast(self) -> bool:
        return self.knobs.mixed_precision != "no"

    @property
    def product_bytes(self) -> int:
        """Of a number that a product of the model itself writes."""
        return HALF if self.is_autocast else WIDTH[self.knobs.dtype]

    @property
    def adapter_bytes(self) -> int:
        return WIDTH[self.loop.adapter_dtype or "float32"]

    @property
    def weight_bytes(self) -> int:
        """Of a parameter that is not packed: PEFT's preparation leaves those in float32."""
        prepared = isinstance(self.method, QLoRA) and self.loop.kbit_preparation
        return FLOAT32 if prepared else WIDTH[self.knobs.dtype]

    @property
    def packed_bytes(self) -> float:
        """Of a parameter that bitsandbytes keeps in few bits."""
        return self.method.bits / 8 if isinstance(self.method, QLoRA) else self.weight_bytes

    @property
    def attending(self) -> float:
        """Operations per second of attention: without autocast it has the type of what is between layers, which are in
        float32 beside prepared quantised weights."""
        return self.half if self.is_autocast or self.weight_bytes == HALF else self.rates.float32

    @property
    def half(self) -> float:
        """Operations per second of products in half precision: a card without bfloat16 reckons it in float32."""
        is_bfloat16 = "bf16" in self.knobs.mixed_precision or (not self.is_autocast and self.knobs.dtype == "bfloat16")
        return self.rates.float32 if is_bfloat16 and not self.rates.native_bf16 else self.rates.half
