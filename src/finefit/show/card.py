"""The model card of an exported run: README.md, with what its plan, its receipt and its check say, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from finefit.nouns.exported import Exported
from finefit.nouns.method import Full, LoRA, Method, QLoRA, name_of
from finefit.nouns.plan import Plan
from finefit.nouns.receipt import Receipt
from finefit.units import human_bytes

from .words import adapter_name


def card_of(plan: Plan, receipt: Receipt, exported: Exported) -> str:
    return "\n".join([*_front(plan), "", *_words(plan, receipt, exported)]) + "\n"


def _front(plan: Plan) -> list[str]:
    """What the hub reads. Names are quoted: YAML takes JSON's strings."""
    return [
        "---",
        f"base_model: {json.dumps(base_name(plan))}",
        "library_name: transformers",
        "pipeline_tag: text-generation",
        *(f"datasets: {json.dumps([name])}" for name in _of_hub(plan)),
        "tags:",
        "- finefit",
        f"- {name_of(plan.method)}",
        "---",
    ]


def _words(plan: Plan, receipt: Receipt, exported: Exported) -> Iterator[str]:
    base = base_name(plan)
    yield f"# {base}, fine-tuned"
    yield ""
    on = "preferences (DPO) in " if plan.job.task == "dpo" else ""
    yield f"{_method_words(plan.method)} of `{base}` on {on}{_data(plan)}, by finefit."
    if exported.dequantized:
        yield (
            f"The base was trained beside in {_bits(plan.method)} bits; the adapter is merged onto its dequantised "
            "weights, which are what was trained saw."
        )
    yield "The licence of the base model holds for this one."
    yield ""
    yield from _table("Training", _training(plan, receipt))
    yield ""
    yield from _table("Memory", _memory(receipt))
    yield ""
    yield from _table("This export", _check(exported))
    yield ""
    yield from _table("Versions", dict(receipt.stack))


def _table(title: str, facts: dict[str, str]) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    yield "| | |"
    yield "|---|---|"
    for name, fact in facts.items():
        if fact:
            yield f"| {name} | {fact} |"


def _training(plan: Plan, receipt: Receipt) -> dict[str, str]:
    knobs, data = plan.knobs, plan.data
    rows = (
        "" if data is None else f"{data.rows:,}, {data.total_tokens:,} tokens, {data.trained_tokens:,} of them trained"
    )
    batch = knobs.per_device_train_batch_size * knobs.gradient_accumulation_steps * plan.machine.count
    return {
        "rows": rows,
        "steps": f"{receipt.steps:,}",
        "rows a step": f"{batch}",
        "learning rate": f"{plan.orders['trainer']['learning_rate']:g}",
        "weights": f"{knobs.dtype}, mixed precision {knobs.mixed_precision}",
        "optimizer": knobs.optim,
        "training loss": _from_to(receipt.train_loss_first, receipt.train_loss_last),
        "held-out loss": _from_to(receipt.eval_loss_before, receipt.eval_loss_after),
        "held-out pairs preferred": "" if receipt.preferred is None else f"{receipt.preferred:.0%}",
        "seed": f"{receipt.seed}",
    }


def _memory(receipt: Receipt) -> dict[str, str]:
    peak = receipt.peak
    if peak is None:
        held = {f"{gap.phase}, measured": human_bytes(gap.measured_bytes) for gap in receipt.held[-1:]}
        return {"machine": receipt.machine, **{f"held by a rank, {what}": nbytes for what, nbytes in held.items()}}
    return {
        "machine": receipt.machine,
        "peak, predicted": human_bytes(peak.predicted_bytes),
        f"peak, measured ({receipt.measured_by})": human_bytes(peak.measured_bytes),
    }


def _check(exported: Exported) -> dict[str, str]:
    near, far = exported.difference, exported.from_trained
    apart = f"at most {near.max_difference:.3g} apart, tolerance {exported.tolerance:.3g}"
    facts = {"weights": f"{exported.dtype}, {human_bytes(exported.nbytes)}"}
    if far is None:
        facts["logits, to the trained model"] = apart
    else:
        facts["logits, to the adapter beside these weights"] = apart
        mean = f"{far.mean_difference:.3g} in the mean"
        facts["logits, to the trained model"] = f"at most {far.max_difference:.3g} apart, {mean}"
    rows = f"{exported.rows} rows of the run" if exported.rows else "a greeting: the run's rows are gone"
    return facts | {"compared on": rows}


def _of_hub(plan: Plan) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.rows.id for one in plan.fetched if one.key == "data"))


def _data(plan: Plan) -> str:
    """A path of somebody's machine says nothing to others, but for the file's name."""
    return f"`{plan.job.data}`" if _of_hub(plan) else f"`{Path(plan.job.data or '').name}`"


def base_name(plan: Plan) -> str:
    """A folder of somebody's machine says nothing to others."""
    return Path(plan.model.id).name if Path(plan.model.id).exists() else plan.model.id


def _method_words(method: Method) -> str:
    match method:
        case Full():
            return "Full fine-tuning"
        case LoRA():
            return f"{adapter_name(method)} (r {method.r}, alpha {method.alpha}{_scaled(method)}), merged,"
        case QLoRA():
            words = f"r {method.r}, alpha {method.alpha}{_scaled(method)}, {method.bits} bits"
            return f"{adapter_name(method)} ({words}), merged,"


def _scaled(method: LoRA | QLoRA) -> str:
    return ", rsLoRA" if method.use_rslora else ""


def _bits(method: Method) -> int:
    return method.bits if isinstance(method, QLoRA) else 16


def _from_to(first: float | None, last: float | None) -> str:
    return "" if first is None or last is None else f"{first:.4f} → {last:.4f}"
