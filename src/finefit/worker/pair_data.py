"""What the trainer would make of a file of pairs: TRL's own preparation of them, without a model.

Knows: TRL 1.16, whose `DPOTrainer._prepare_dataset` asks its trainer for a tokenizer alone. An answer begins where the
tokens of the prompt, and those of the prompt with either answer, part.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from datasets import Dataset
from trl import DPOConfig, DPOTrainer
from trl.data_utils import _tokenize, extract_prompt

from . import pairs
from .looking import NO_TEMPLATE, check, endless, spread

OR = " or "
"""Between the chosen answer and the rejected one, where a pair is shown."""


def prepared(rows: Dataset, tokenizer: Any) -> Any:
    """Raises `ValueError` where there is no chat template, and what the template raises."""
    if isinstance(rows[0]["chosen"], list) and tokenizer.chat_template is None:
        raise ValueError(NO_TEMPLATE)
    config = DPOConfig(max_length=None, use_cpu=True, bf16=False, report_to="none")
    return DPOTrainer._prepare_dataset(SimpleNamespace(_tokenizer=tokenizer), rows, tokenizer, config, "train")


def looked(tokenizer: Any, rows: Dataset, made: Any, examples: int) -> dict[str, Any]:
    """`made`: of these rows, as `prepared` has them."""
    lengths = pairs.lengths_of(made)
    trained = [len(chosen) + len(rejected) for chosen, rejected in _answers(made)]
    return {
        "lengths": [[each, count] for each, count in zip(lengths, trained, strict=True)],
        "examples": [
            {"row": n, "tokens": lengths[n], "pieces": list(_pieces(tokenizer, made[n]))}
            for n in spread(lengths, examples)
        ],
        "checks": [_prompt_check(tokenizer, rows, made), _difference_check(made), _stop_check(tokenizer, made)],
    }


def _answers(made: Any) -> list[tuple[list[int], list[int]]]:
    return list(zip(made[pairs.CHOSEN], made[pairs.REJECTED], strict=True))


def _pieces(tokenizer: Any, pair: pairs.Pair) -> Iterator[dict[str, Any]]:
    for name in (pairs.PROMPT, pairs.CHOSEN, pairs.REJECTED):
        if name == pairs.REJECTED:
            yield {"text": OR, "is_trained": False}
        text = tokenizer.decode(pair[name], skip_special_tokens=False)
        yield {"text": text, "is_trained": name != pairs.PROMPT}


def _prompt_check(tokenizer: Any, rows: Dataset, made: Any) -> dict[str, Any]:
    prompts = [row["prompt"] if "prompt" in row else extract_prompt(row)["prompt"] for row in rows]
    parted = 0
    for prompt, ids in zip(prompts, made[pairs.PROMPT], strict=True):
        more = {"add_generation_prompt": True} if isinstance(prompt, list) else {}
        parted += len(ids) < len(_tokenize(tokenizer, prompt, **more)["input_ids"])
    why = f"in {parted} of {len(prompts)} rows the prompt's last tokens are others with an answer after them"
    return check("prompts end where a token ends", not parted, why if parted else "")


def _difference_check(made: Any) -> dict[str, Any]:
    alike = sum(chosen == rejected for chosen, rejected in _answers(made))
    why = f"in {alike} of {len(made)} rows both have the same tokens: nothing is preferred"
    return check("the two answers are written differently", not alike, why if alike else "")


def _stop_check(tokenizer: Any, made: Any) -> dict[str, Any]:
    answers = [ids for both in _answers(made) for ids in both]
    count = endless(tokenizer, answers)
    why = f"the last trained token of {count} of {len(answers)} answers ends nothing" if count else ""
    return check("the stop token is trained", not why, why)
