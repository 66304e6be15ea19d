"""Whether an exported folder is the model that was trained: read back as anybody would, and asked the same.

The logits are those of real rows, in float32 on the processor; the two models are in memory one after the other. The
tolerance is that of the saved weights' dtype (`saved.TOLERANCE`): sums in another order, and weights that were rounded
once more. 8-bit layers also round what they multiply, which no merged weight does: the export is then held against the
adapter beside the dequantised weights, and how far it is from the trained model is told. So it is where the adapter was
wanted on the original weights of a base that was quantised.
"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoTokenizer

from finefit.errors import RunFailed

from ..build import load_model
from ..plain_text import as_written
from ..processor import tokenizer_of
from ..rows import Which, conversations_in_parts, dataset_of
from ..saved import CHECKED_ROWS, CHECKED_TOKENS, TOLERANCE, load
from .base import Base
from .exact import logits_of

GREETING = [{"role": "user", "content": "Hello"}]
"""Where the run's rows are gone."""

Said = list[dict[str, Any]] | str
"""A conversation, or text that no template is around."""


def rows_of(data: dict[str, Any], tokenizer: Any) -> list[Said]:
    """The first held-out rows, or of the first rows where none are held out; nothing where the file is gone. Of an
    image its placeholder alone is asked about, and no picture is shown."""
    which: Which = "eval" if data.get("eval") else "train"
    if data.get(which) is None or not Path(data[which]).is_file():
        return []
    shows = "shown" in data
    rows = conversations_in_parts(data, which) if shows else as_written(tokenizer, dataset_of(data, which))
    return [_said(rows[index]) for index in range(min(CHECKED_ROWS, len(rows)))]


def _said(row: dict[str, Any]) -> Said:
    """In the columns of any format; of a pair, the preferred answer."""
    found: Said = row.get("messages") or row.get("text") or row.get("completion") or row["chosen"]
    return row["prompt"] + found if "prompt" in row else found


def compare(orders: dict[str, Any], model: dict[str, Any], base: Base, folder: Path) -> dict[str, Any]:
    """`model`: as the worker is told of the trained one. Raises `RunFailed` where they do not agree."""
    tuned, dtype = Path(orders["adapter"]), orders["dtype"]
    rows = rows_of(orders["data"], tokenizer_of(str(tuned)))
    prompts = _same_prompts(tuned, folder, rows or [GREETING])
    if model["attn_implementation"] == "flash_attention_2":  # which no processor has
        model = model | {"attn_implementation": "sdpa"}
    exported = model | {"folder": str(folder), "quantization": None}
    is_eight = bool((model["quantization"] or {}).get("load_in_8bit"))
    ours = _logits(load_model(exported | {"dtype": dtype}), prompts)
    theirs = _logits(load(model, tuned, "cpu"), prompts)
    found: dict[str, Any] = {"rows": len(rows), "from_trained": None}
    if is_eight or orders["original_base"]:
        found["from_trained"] = _apart(theirs, ours)
        theirs = _logits(_beside(base, load_model(exported), tuned), prompts)
    found |= _apart(theirs, ours)
    found["tolerance"] = TOLERANCE[dtype] * float(theirs.abs().max())
    if not found["max_difference"] <= found["tolerance"]:  # nor where it is no number
        raise RunFailed(
            f"what was exported is not what was trained: logits differ by {found['max_difference']:.3g}, "
            f"more than {found['tolerance']:.3g}"
        )
    return found


def _same_prompts(tuned: Path, folder: Path, rows: list[Said]) -> list[list[int]]:
    then, now = (AutoTokenizer.from_pretrained(each) for each in (tuned, folder))
    prompts = [_ids(then, row) for row in rows]
    if prompts != [_ids(now, row) for row in rows]:
        raise RunFailed("the exported tokenizer writes a conversation otherwise than the one that was trained with")
    return [prompt[:CHECKED_TOKENS] for prompt in prompts]


def _ids(tokenizer: Any, said: Said) -> list[int]:
    if isinstance(said, str) or tokenizer.chat_template is None:
        return list(tokenizer(said if isinstance(said, str) else said[0]["content"])["input_ids"])
    return list(tokenizer.apply_chat_template(said, return_dict=True)["input_ids"])


def _beside(base: Base, model: Any, tuned: Path) -> Any:
    """The adapter beside the very weights that it was merged onto."""
    state = model.state_dict()
    for weight in base.weights:
        if weight.name in state:
            state[weight.name].copy_(base.trained(weight))
    return PeftModel.from_pretrained(model, tuned)


def _logits(model: Any, prompts: list[list[int]]) -> torch.Tensor:
    found = logits_of(model.eval(), prompts)
    del model
    gc.collect()
    return found


def _apart(one: torch.Tensor, other: torch.Tensor) -> dict[str, Any]:
    apart = (one - other).abs()
    return {"max_difference": float(apart.max()), "mean_difference": float(apart.mean())}
