"""What the trainer would make of a data file: TRL's own preparation of its rows, without a model.

Orders: model (its folder), data (as a run's), trainer (`assistant_only_loss`), examples, images (as a run's, where rows
show any). Out: lengths (of each row all
tokens, and the trained ones; null where the rows cannot be written), examples (rows by their place in the dataset, as
the chat template writes them, in pieces that are trained or not), checks (what, is_right, why).

Knows: TRL 1.16, whose `SFTTrainer._prepare_dataset` asks its trainer for a tokenizer, a chat template and whether the
completion alone is trained: these are given here as the trainer's `__init__` finds them. Pairs: pair_data.py; rows that
show images: picture_data.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from datasets import Dataset
from jinja2 import TemplateError
from trl import SFTConfig, SFTTrainer
from trl.chat_template_utils import (
    get_training_chat_template,
    has_generation_markers,
    is_chat_template_stop_token_trained,
)
from trl.data_utils import _tokenize, common_prefix_length, is_conversational

from . import pair_data, picture_data
from .looking import NO_TEMPLATE, check, endless, spread
from .plain_text import as_written, needs_parts
from .processor import tokenizer_of
from .rows import conversations_in_parts, dataset_of, format_of, in_parts

UNTRAINED = -100
CANNOT = "rows can be written with the model's chat template"


def main(orders_path: str, out_path: str) -> None:
    Path(out_path).write_text(json.dumps(looked(json.loads(Path(orders_path).read_text()))))


def looked(orders: dict[str, Any]) -> dict[str, Any]:
    tokenizer, shows, data = tokenizer_of(orders["model"]["folder"]), "images" in orders, orders["data"]
    rows = conversations_in_parts(data) if shows else as_written(tokenizer, dataset_of(data, "train"))
    turns = orders["trainer"]["assistant_only_loss"]
    try:
        if format_of(orders["data"]).trained == "pairs":
            return pair_data.looked(tokenizer, rows, pair_data.prepared(rows, tokenizer), orders["examples"])
        template = _template(tokenizer, rows[0], turns)
        prepared = _prepared(rows, tokenizer, template, turns)
    except (TemplateError, ValueError, RuntimeError, TypeError) as error:
        return {"lengths": None, "examples": [], "checks": [check(CANNOT, False, str(error).splitlines()[0])]}
    ids, labels = list(prepared["input_ids"]), list(prepared["labels"])
    checks = [
        *_template_checks(tokenizer, template, is_conversational(rows[0]), shows or needs_parts(tokenizer)),
        *_prompt_check(tokenizer, template, rows, ids),
        _stop_check(tokenizer, template, labels, turns),
    ]
    if shows:
        found = picture_data.looked(tokenizer, prepared, template, orders)
        return found | {"checks": [*checks, *found["checks"]]}
    return _looked(tokenizer, ids, labels, orders["examples"]) | {"checks": checks}


def _looked(tokenizer: Any, ids: Sequence[Any], labels: Sequence[Any], examples: int) -> dict[str, Any]:
    trained = [sum(label != UNTRAINED for label in each) for each in labels]
    return {
        "lengths": [[len(each), count] for each, count in zip(ids, trained, strict=True)],
        "examples": [
            {"row": n, "tokens": len(ids[n]), "pieces": list(_pieces(tokenizer, ids[n], labels[n]))}
            for n in spread([len(each) for each in ids], examples)
        ],
    }


def _template(tokenizer: Any, row: dict[str, Any], turns: bool) -> str | None:
    """As SFTTrainer chooses it; None is the tokenizer's own."""
    if not is_conversational(row):
        return None
    if tokenizer.chat_template is None:
        raise ValueError(NO_TEMPLATE)
    if turns and not has_generation_markers(tokenizer.chat_template):
        template: str | None = get_training_chat_template(tokenizer)
        return template
    return None


def _prepared(rows: Dataset, tokenizer: Any, template: str | None, turns: bool) -> Any:
    columns = rows.column_names
    asked = SimpleNamespace(
        _tokenizer=tokenizer,
        chat_template=template,
        completion_only_loss="prompt" in columns and "completion" in columns,
    )
    config = SFTConfig(assistant_only_loss=turns, max_length=None, use_cpu=True, bf16=False, report_to="none")
    return SFTTrainer._prepare_dataset(asked, rows, tokenizer, config, False, None, "train")


def _pieces(tokenizer: Any, ids: Sequence[int], labels: Sequence[int]) -> Iterator[dict[str, Any]]:
    pairs = zip(ids, labels, strict=True)
    for is_trained, group in groupby(pairs, key=lambda pair: pair[1] != UNTRAINED):
        text = tokenizer.decode([token for token, _ in group], skip_special_tokens=False)
        yield {"text": text, "is_trained": is_trained}


TURNS = [
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "two"},
    {"role": "user", "content": "three"},
    {"role": "assistant", "content": "four"},
]


def _template_checks(tokenizer: Any, template: str | None, is_chat: bool, spelt: bool) -> Iterator[dict[str, Any]]:
    """That what comes later changes nothing before it; messages of tools are not tried. `spelt`: in parts."""
    if not is_chat:
        return
    all_turns = list(in_parts({"messages": TURNS})) if spelt else TURNS

    def written(turns: int, **more: bool) -> str:
        return str(tokenizer.apply_chat_template(all_turns[:turns], chat_template=template, tokenize=False, **more))

    try:
        keeps = written(4).startswith(written(2))
        prompts = written(2).startswith(written(1, add_generation_prompt=True))
    except (TemplateError, TypeError, ValueError) as error:
        yield check("the chat template takes turns of a user and an assistant", False, str(error).splitlines()[0])
        return
    why = "two turns are no beginning of the same two with more after them"
    yield check("an earlier turn is written alike whatever follows it", keeps, "" if keeps else why)
    why = "a question with the generation prompt is no beginning of question and answer"
    yield check("an answer in training stands where it is asked for later", prompts, "" if prompts else why)


def _prompt_check(tokenizer: Any, template: str | None, rows: Dataset, ids: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """TRL trains from where the tokens of the prompt and those of both part."""
    if "prompt" not in rows.column_names:
        return
    parted = 0
    for prompt, whole in zip(rows["prompt"], ids, strict=True):
        more = {"add_generation_prompt": True} if isinstance(prompt, list) else {}
        alone = _tokenize(tokenizer, prompt, chat_template=template, **more)["input_ids"]
        parted += common_prefix_length(alone, whole) < len(alone)
    why = f"in {parted} of {len(ids)} rows the prompt's last tokens are others with the completion after them"
    yield check("prompts end where a token ends", not parted, why if parted else "")


def _stop_check(tokenizer: Any, template: str | None, labels: Sequence[Any], turns: bool) -> dict[str, Any]:
    count = endless(tokenizer, [[label for label in each if label != UNTRAINED] for each in labels])
    why = f"the last trained token of {count} of {len(labels)} rows ends nothing" if count else ""
    if not why and turns and not is_chat_template_stop_token_trained(tokenizer, chat_template=template):
        why = "where a message of the user follows, the end of the answer is not trained"
    return check("the stop token is trained", not why, why)
