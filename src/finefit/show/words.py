"""Words and figures that terminal and JSON share."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from finefit.nouns.estimate import Estimate
from finefit.nouns.images import Images, Showing
from finefit.nouns.knobs import Checkpointing, Knobs
from finefit.nouns.machine import Gpu
from finefit.nouns.method import Full, LoRA, Method, QLoRA
from finefit.nouns.range import Range
from finefit.units import human_bytes

if TYPE_CHECKING:
    from finefit.nouns.receipt import PhaseGap

UNTIMED = "how long it takes is not computed for this"


def gap_percent(gap: PhaseGap) -> float | None:
    return gap.gap_percent if gap.measured_bytes else None


def percent(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f} %"


def method_words(method: Method) -> str:
    match method:
        case Full():
            return "full fine-tuning"
        case LoRA():
            return f"{adapter_name(method)} {adapter_words(method)}"
        case QLoRA():
            return f"{adapter_name(method)} {adapter_words(method)}, base in {base_words(method)}"
        case _:
            assert_never(method)


def base_words(method: QLoRA) -> str:
    double = " with double quantisation" if method.double_quant else ""
    return f"{method.quant_type}{double}" if method.bits == 4 else "int8"


def adapter_words(method: LoRA | QLoRA) -> str:
    where = method.target_modules if isinstance(method.target_modules, str) else ",".join(method.target_modules)
    dropout = f", dropout {method.dropout}" if method.dropout else ""
    scaled = ", rsLoRA" if method.use_rslora else ""
    return f"r {method.r}, alpha {method.alpha}, {where}{dropout}{scaled}"


def adapter_name(method: LoRA | QLoRA) -> str:
    """As it is known: LoRA, QLoRA, DoRA, QDoRA."""
    return ("Q" if isinstance(method, QLoRA) else "") + ("DoRA" if method.use_dora else "LoRA")


def checkpointing_words(layers: Checkpointing) -> str:
    match layers:
        case "all":
            return "every layer"
        case 0:
            return "none"
        case 1:
            return "the first layer"
        case _:
            return f"the first {layers} layers"


def images_words(images: Images) -> str:
    return f"{images.count} of {images.width} × {images.height} in each sequence"


def showing_words(showing: Showing) -> str:
    smallest, largest = (f"{width} × {height}" for width, height in (showing.smallest, showing.largest))
    lines = ", ".join(map(str, showing.peak_lines))
    return f"{showing.images} images in {showing.rows} of them, {smallest} to {largest}; the peak is in line {lines}"


def kernel_words(knobs: Knobs) -> str:
    layers = ", Liger's layers" if knobs.use_liger_kernel else ""
    segments = ", expandable segments" if knobs.expandable_segments else ""
    return f"{knobs.attn_implementation} attention, {knobs.loss} loss{layers}, {knobs.optim}{segments}"


def count_words(number: int) -> str:
    """`3.21 B`, `24.3 M`: parameters as people say them."""
    for unit, name in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if number >= unit:
            return f"{number / unit:.{2 if unit == 10**9 else 1}f} {name}"
    return str(number)


def verdict_words(estimate: Estimate) -> str:
    gpu = estimate.machine.gpu
    if gpu is None:
        return "on the processor"
    return f"{_judged(estimate, gpu)}: {gpu.name} holds {human_bytes(gpu.vram_bytes)}{_drivers_words(gpu)}"


def _judged(estimate: Estimate, gpu: Gpu) -> str:
    device = estimate.ledger.device
    match estimate.verdict:
        case None:
            return "not judged"
        case "fits":
            return "fits"
        case "tight" if device is not None and device.typical > gpu.vram_bytes:
            return "tight, since the allocator must empty its cache to go on, and the GPU waits meanwhile"
        case "tight":
            return "tight, since the worst case is more"
        case "no":
            return "does not fit"
        case _:
            assert_never(estimate.verdict)


def _drivers_words(gpu: Gpu) -> str:
    return f", of which the driver keeps up to {human_bytes(gpu.unknown_bytes)}" if gpu.unknown_bytes else ""


def range_words(known: Range) -> str:
    return f"{human_bytes(known.low)} to {human_bytes(known.high)}"


def notes_of(estimate: Estimate) -> list[str]:
    return [*estimate.notes, *(() if estimate.pace is not None else (UNTIMED,))]
