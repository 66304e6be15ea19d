"""What a point of the grid is, and the orders that it means.

Knows: every knob of a point, in words; which combinations nobody runs or no card holds.
Does not know: whether a card has the memory, or a machine the libraries (`roads.py`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from math import isqrt
from typing import Any

from finefit.catalog.models import model_named
from finefit.lower.orders import base_orders, rehearsal_orders
from finefit.lower.preferences import task_orders
from finefit.nouns.images import Images
from finefit.nouns.knobs import Knobs
from finefit.nouns.loop import Loop
from finefit.nouns.machine import Machine
from finefit.nouns.method import Full, LoRA, Method, QLoRA
from finefit.nouns.model import Model
from finefit.nouns.task import DPO, SFT, Generate, Training
from finefit.rehearsal.generation import Writing
from finefit.search.generation import parts_to_write

MODELS = {
    "qwen2.5-0.5b": "grouped queries, tied head",
    "llama-3.2-1b": "grouped queries, tied head, a vocabulary of 128256",
    "tinyllama-1.1b": "grouped queries, a head of its own",
    "qwen2.5-1.5b": "grouped queries, tied head, biased projections",
    "smollm2-1.7b": "as many keys as queries, tied head",
    "llama-3.2-3b": "grouped queries, tied head",
    "olmoe-1b-7b": "a mixture of 64 experts, 8 a token",
    "mistral-7b-v0.1": "a sliding window",
    "llama-3.1-8b": "grouped queries, a head of its own",
}
"""From 0.5 to 8 billion parameters, and what each brings. All are bundled with finefit."""

METHODS: dict[str, Method] = {
    "full": Full(),
    "lora": LoRA(dropout=0.05),
    "qlora4": QLoRA(bits=4),
    "qlora8": QLoRA(bits=8),
}
UNDROPPED = LoRA()
"""For experts: PEFT adapts their stacked weights, and refuses dropout there (0.21, `lora.ParamWrapper`)."""

PRECISIONS = {
    "fp32": ("float32", "no"),
    "fp32-amp": ("float32", "bf16"),
    "bf16": ("bfloat16", "no"),
    "bf16-amp": ("bfloat16", "bf16"),
}
"""Dtype of the weights, and autocast."""

ROWS = {
    "whole": "two rows of the length",
    "padded": "two rows, 24 tokens shorter, padded to the length: their mask is not empty",
    "packed": "four rows of a quarter, laid end to end without padding",
}
BEYOND = {
    "preferences": "one pair of answers of the length, for TRL's trainer of preferences",
    "images": "two rows of the length, each with an image that is a quarter of it",
    "answers": "two prompts of the length, each answered with so many tokens more as `NEW_TOKENS`; nothing is trained",
}
"""Rows that are in a few points alone, and in no pairs."""
NEW_TOKENS = 64
SEEING = "qwen2-vl-2b"
SHORTER = 24
PACKED_ROWS = 4

LEVELS: dict[str, tuple[Any, ...]] = {
    "model": tuple(MODELS),
    "method": tuple(METHODS),
    "attention": ("sdpa", "eager"),
    "checkpointed": ("all", "none", "half"),
    "length": (512, 1024, 2048),
    "rows": tuple(ROWS),
    "precision": tuple(PRECISIONS),
    "optim": ("adamw_torch_fused", "adamw_torch", "adamw_bnb_8bit", "paged_adamw_8bit"),
    "loss": ("fused", "full"),
    "accumulation": (1, 2),
    "expandable": (False, True),
}
"""Every knob and its values; `half`: the first half of the layers."""

LARGE = ("olmoe-1b-7b", "mistral-7b-v0.1", "llama-3.1-8b")
STEPS = 4
"""Optimizer steps of a measurement on a GPU: the first has no optimizer state, the others are alike."""


@dataclass(frozen=True)
class Point:
    model: str
    method: str
    attention: str
    checkpointed: str
    length: int
    rows: str
    precision: str
    optim: str
    loss: str
    accumulation: int
    expandable: bool

    @property
    def id(self) -> str:
        knobs = [self.model, self.method, self.precision, self.attention, f"ck_{self.checkpointed}", self.rows]
        more = [str(self.length), f"x{self.accumulation}", self.optim, f"{self.loss}_loss"]
        return "-".join([*knobs, *more, *(["expandable"] if self.expandable else [])])

    @property
    def knobs(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def tokens(self) -> int:
        """Positions of one micro-batch."""
        return self.length * (1 if self.rows == "packed" else 2)


NAMES = tuple(field.name for field in fields(Point))


def is_sensible(point: Point) -> bool:
    """Quantised weights are computed in bfloat16 alone; 16 bytes for each of seven billion weights fit on no card."""
    if point.method.startswith("qlora") and point.precision.startswith("fp32"):
        return False
    heavy = point.method == "full" and point.precision.startswith("fp32") and point.optim.startswith("adamw_torch")
    return not (heavy and point.model in LARGE)


def model_of(name: str) -> Model:
    model = model_named(name)
    assert model is not None, name
    return model


def method_of(point: Point) -> Method:
    method = METHODS[point.method]
    experts = "num_experts" in model_of(point.model).config
    return UNDROPPED if experts and isinstance(method, LoRA) else method


def knobs_of(point: Point, model: Model) -> Knobs:
    dtype, autocast = PRECISIONS[point.precision]
    batch, length = {
        "whole": (2, point.length),
        "padded": (2, point.length - SHORTER),
        "packed": (PACKED_ROWS, point.length // PACKED_ROWS),
        "preferences": (1, point.length),
        "images": (2, point.length),
        "answers": (2, point.length),
    }[point.rows]
    checkpointed: Any = {"all": "all", "none": 0, "half": model.layers // 2}[point.checkpointed]
    return Knobs(
        max_length=length,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=point.accumulation,
        gradient_checkpointing=checkpointed,
        dtype=dtype,  # type: ignore[arg-type]
        mixed_precision=autocast,  # type: ignore[arg-type]
        optim=point.optim,
        attn_implementation=point.attention,  # type: ignore[arg-type]
        loss=point.loss,  # type: ignore[arg-type]
        expandable_segments=point.expandable,
    )


def orders_of(point: Point, machine: Machine, model: Model | None = None, *, whole: bool = False) -> dict[str, Any]:
    """What the worker is told, to rehearse or to measure: as `finefit estimate` tells it, with the rows' form. Of an
    answer these are to measure it; it is rehearsed in another way."""
    model = model or model_of(point.model)
    if point.rows == "answers":
        written = writing_of(point, machine, model)
        return written.orders | {"point": [written.knobs.per_device_train_batch_size, written.prompt, NEW_TOKENS]}
    knobs = knobs_of(point, model)
    orders = base_orders(model, method_of(point), knobs, machine, False)
    forms = {"padded": {"pad_to_multiple_of": point.length}, "packed": {"padding_free": True}}
    orders["trainer"] |= forms.get(point.rows, {})
    images = image_of(point) if point.rows == "images" else None
    orders = rehearsal_orders(orders, model, knobs, machine, Loop(), whole=whole, images=images)
    return orders | task_orders(task_of(point), model, method_of(point), knobs)


def image_of(point: Point) -> Images:
    """A square of 28 pixels a token (Qwen2-VL)."""
    side = 28 * isqrt(point.length // 4)
    return Images(side, side)


def task_of(point: Point) -> Training:
    """Beside a frozen copy where there are no adapters to turn off, as TRL does it."""
    if point.rows != "preferences":
        return SFT()
    return DPO("model" if point.method == "full" else "adapter_off")


def writing_of(point: Point, machine: Machine, model: Model) -> Writing:
    """With the method's adapters unmerged; without any where all is trained."""
    method, task, _ = parts_to_write(method_of(point), Generate(NEW_TOKENS), model)
    return Writing(model, method, knobs_of(point, model), machine, task)
