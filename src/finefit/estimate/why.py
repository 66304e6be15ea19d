"""What a kind of storage is, in words, and the arithmetic of its bytes."""

from __future__ import annotations

from dataclasses import dataclass

from finefit.catalog.modules import TOWER
from finefit.nouns.engine import Engine, divided_by
from finefit.nouns.knobs import Dtype
from finefit.nouns.task import DPO, ROWS, Task, sequences_of
from finefit.tape.peaks import Held, Kind
from finefit.tape.sizes import CHUNK_TOKENS, Point
from finefit.units import human_bytes

FUSED_WORDS = 32_768
"""Of the vocabulary, whose logits TRL's fused head has at once: trl/trainer/utils.py, _CHUNKED_LOGPROB_CHUNK_SIZE."""


@dataclass(frozen=True)
class Shapes:
    """The sizes that explain bytes."""

    parameters: int
    trainable_parameters: int
    micro_batch: int
    length: int
    hidden: int | None
    vocabulary: int | None
    weight_dtype: Dtype
    optim: str
    engine: Engine | None = None
    has_tower: bool = False
    # a vision tower, beside the language model
    task: Task = ROWS

    @property
    def tokens(self) -> int:
        """Of a micro-batch."""
        return self.micro_batch * sequences_of(self.task) * self.length

    @property
    def fused_tokens(self) -> int:
        """Of both answers, whose logits the fused head has at once; 0 for rows."""
        if not isinstance(self.task, DPO):
            return 0
        point = Point(self.micro_batch, self.length, sequences=sequences_of(self.task))
        return min(point.trained_tokens, CHUNK_TOKENS)


@dataclass(frozen=True)
class Words:
    what: str
    why: str


def describe(kind: Kind, held: Held, shapes: Shapes) -> Words:
    """`held` is one storage kind at the peak, or several that read alike."""
    category, phase, module, op = kind
    is_tower = shapes.has_tower and not TOWER.isdisjoint(module.split("."))
    if category == "weight" and shapes.has_tower:
        return _divided_weights(is_tower, shapes)
    fixed = _fixed(category, held, shapes)
    if fixed is not None:
        return fixed
    operation = op.removeprefix("aten.").split(".")[0]
    role = "vision tower" if is_tower else _role(module)
    where = f"{role}: " if role else ""
    if category == "workspace":
        return Words(f"{operation} workspace", f"taken by the kernel itself, {held.count} at a time")
    logits = _logits(held, shapes)
    if logits:
        whose = " of both answers" if isinstance(shapes.task, DPO) else ""
        return Words(f"logits{whose} ({operation})", logits)
    if phase in ("forward", "loss"):
        return Words(f"{where}saved for backward", f"{_many(held)}, kept by {operation} and others until backward")
    return Words(f"{where}{phase} temporaries", f"{_many(held)}, the largest from {operation}")


CACHE = "KV cache"


def _divided_weights(is_tower: bool, shapes: Shapes) -> Words:
    count = shapes.parameters - shapes.trainable_parameters or shapes.parameters
    if is_tower:
        return Words("vision tower: weights", f"what sees, and what projects it, of {count:,} parameters")
    return Words("weights", f"all but the vision tower's, of {count:,} parameters ({shapes.weight_dtype})")


def _fixed(category: str, held: Held, shapes: Shapes) -> Words | None:
    """Kinds whose bytes have one formula."""
    trained = shapes.trainable_parameters
    frozen = shapes.parameters - trained
    match category:
        case "weight":
            count = frozen or shapes.parameters
            arithmetic = _arithmetic(category, held, count, shapes)
            return Words("weights", f"{count:,} parameters × {arithmetic} ({shapes.weight_dtype})")
        case "adapter":
            return Words("adapters", f"{trained:,} trained parameters × {_arithmetic(category, held, trained, shapes)}")
        case "gradient":
            return Words(
                "gradients", f"{trained:,} trained parameters × {_arithmetic(category, held, trained, shapes)}"
            )
        case "optimizer":
            arithmetic = _arithmetic(category, held, trained, shapes)
            return Words("optimizer state", f"{shapes.optim}: {trained:,} parameters × {arithmetic}")
        case "master":
            arithmetic = _arithmetic(category, held, trained, shapes)
            return Words("float32 weights", f"{trained:,} trained parameters × {arithmetic}, which the optimizer steps")
        case "checkpoint":
            return Words("checkpointed layer inputs", _layer_inputs(held, shapes))
        case "reference":
            return Words("reference model", _copied(held, shapes))
        case "batch":
            return Words("batch", "token ids, labels and mask" + (", and pixels" if shapes.has_tower else ""))
        case "cache":
            return Words(CACHE, f"{_many(held)}: keys and values of every token so far")
        case _:
            return PLAIN.get(category)


PLAIN = {
    "gathered": Words("gathered parameters", "whole on every GPU while modules need them, and what comes next"),
    "bucket": Words("communication buckets", "gradients on their way to the other GPUs"),
    "log_probs": Words("reference log-probs", "how likely each token was before training, and what is reported of it"),
    "buffer": Words("buffers", "constants of the model, such as rotary frequencies"),
}
"""Kinds that have no arithmetic."""


def _copied(held: Held, shapes: Shapes) -> str:
    """A frozen copy has as many parameters as what adapters stand beside, or as what is trained."""
    count = shapes.parameters - shapes.trainable_parameters or shapes.parameters
    return f"{count:,} frozen parameters × {_each(held.nbytes, count)} bytes: says what was likely before training"


def _layer_inputs(held: Held, shapes: Shapes) -> str:
    cells = shapes.tokens * (shapes.hidden or 1)
    if shapes.hidden and held.nbytes == held.count * cells * (held.nbytes // (held.count * cells) or 1):
        width = held.nbytes // (held.count * cells)
        return (
            f"{held.count} layers × {_rows(shapes)} × {shapes.length:,} tokens"
            f" × {shapes.hidden:,} hidden × {width} bytes"
        )
    return f"one for each of {held.count} layers"


def _rows(shapes: Shapes) -> str:
    return str(shapes.micro_batch) if sequences_of(shapes.task) == 1 else f"{shapes.micro_batch} × 2 answers"


def _logits(held: Held, shapes: Shapes) -> str:
    if not shapes.vocabulary or held.count == 0:
        return ""
    tokens = shapes.tokens
    each = held.nbytes // held.count
    for width in (4, 2):
        if each == tokens * shapes.vocabulary * width:
            times = f"{held.count} × " if held.count > 1 else ""
            return f"{times}{tokens:,} tokens × {shapes.vocabulary:,} vocabulary × {width} bytes"
        if each == shapes.fused_tokens * FUSED_WORDS * width:
            return f"TRL's fused head: {shapes.fused_tokens:,} tokens × {FUSED_WORDS:,} words at a time × {width} bytes"
    return ""


def _role(module: str) -> str:
    """`self_attn` or `mlp` inside a layer, `lm_head` or `embed_tokens` outside; nothing between modules."""
    if "*" in module:
        return module.split("*", 1)[1].strip(".").split(".")[0] or "layer"
    return module.rsplit(".", 1)[-1].removeprefix("base_model").removeprefix("model")


def _arithmetic(category: str, held: Held, count: int, shapes: Shapes) -> str:
    """Bytes of each, and among how many GPUs they are divided."""
    engine = shapes.engine
    if engine is None or engine.ranks == 1 or category not in divided_by(engine):
        return f"{_each(held.nbytes, count)} bytes"
    return f"{_each(held.nbytes * engine.ranks, count)} bytes / {engine.ranks} GPUs"


def _each(nbytes: int, count: int) -> str:
    return f"{nbytes / count:.3g}" if count else "0"


def _many(held: Held) -> str:
    if held.count == 1:
        return "one tensor"
    return f"{held.count} tensors of {human_bytes(held.nbytes / max(held.count, 1))} on average"
