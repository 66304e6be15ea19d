"""`export`: a run's result as one model for others."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from finefit.errors import BadInput, Problem
from finefit.nouns.exported import Apart, Exported
from finefit.nouns.knobs import Dtype
from finefit.nouns.method import QLoRA, name_of
from finefit.nouns.packed import packed_in
from finefit.nouns.plan import Plan
from finefit.run import folder as runs
from finefit.run import gguf, receipt, worker
from finefit.run.aside import aside, refuse_filled
from finefit.show.card import base_name, card_of

from . import pushing

SHARD_BYTES = 5_000_000_000
"""Of one file: MAX_SHARD_SIZE of huggingface_hub 1.x."""


def export(
    run: str,
    folder: Path | None = None,
    dtype: Dtype | None = None,
    *,
    original_base: bool = False,
    as_gguf: bool = False,
    push_to_hub: str | None = None,
    private: bool | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Exported:
    """A folder that anybody loads: by default `merged` in the run's own, in the dtype of the run. Raises `BadInput`,
    `RunFailed`, `Interrupted`; then nothing is left.

    `push_to_hub`: a repository that gets the folder, once it has passed its own comparison; `private`: whether it is
    made so, by default yes. Where the upload fails, the folder stays.
    """
    found = runs.open_run(Path(run))
    outcome, plan = receipt.read(found.path), runs.read_plan(found)
    target = folder or found.path / "merged"
    if original_base:
        _refuse_same(plan)
    refuse_filled(target)
    converter = gguf.converter() if as_gguf else None
    hub = _asked(push_to_hub, private)
    orders = json.loads(found.orders.read_text())
    chosen = dtype or plan.knobs.dtype
    with aside(target) as partial:
        answer = worker.ask(
            "export",
            orders
            | {
                "adapter": str(found.adapter.absolute()),
                "folder": str(partial),
                "dtype": chosen,
                "original_base": original_base,
                "max_shard_bytes": SHARD_BYTES,
                "environment": {},
            },
            lambda event: say(event["text"]),
        )
        exported = _read(answer, str(target), chosen)
        (partial / "README.md").write_text(card_of(plan, outcome, exported), encoding="utf-8")
    if converter is not None:
        say("converting to GGUF")
        exported = replace(exported, gguf=str(gguf.convert(converter, target)))
    if hub is None:
        return exported
    return replace(exported, pushed=pushing.push(target, hub, f"{base_name(plan)}, fine-tuned by finefit", say))


def _asked(name: str | None, private: bool | None) -> pushing.Target | None:
    """Before the merge, which may take an hour."""
    if name is not None:
        return pushing.ask(name, private)
    if private is not None:
        where = "--private" if private else "--public"
        raise BadInput(Problem("means nothing here", where, "nothing is pushed", "--push-to-hub org/name"))
    return None


def _refuse_same(plan: Plan) -> None:
    """There must be another base than the one that was trained beside."""
    why = ""
    if not isinstance(plan.method, QLoRA):
        why = f"this run trained beside the original weights ({name_of(plan.method)})"
    elif packed_in(plan.model) is not None:
        why = f"{plan.model.id} is quantised already: its original weights are another model's"
    if why:
        raise BadInput(Problem("means nothing here", where="--original-base", why=why))


def _read(answer: Mapping[str, Any], folder: str, dtype: str) -> Exported:
    told = {key: answer[key] for key in ("nbytes", "files", "merged", "dequantized", "grown_bytes")}
    told |= {key: answer[key] for key in ("largest_file_bytes", "rows", "tolerance")}
    far = answer["from_trained"]
    return Exported(
        folder=folder,
        dtype=dtype,
        difference=Apart(answer["max_difference"], answer["mean_difference"]),
        from_trained=None if far is None else Apart(**far),
        **told,
    )
