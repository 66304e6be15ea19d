"""`prompt` and `completion`, both as text or both as messages, as TRL has them: the completion alone is trained.

TRL (1.16, sft_trainer.py, `_prepare_dataset`) gives text the end-of-sequence token and no chat template; messages are
written by the chat template, with its generation prompt before the completion.
"""

from __future__ import annotations

from .both import unpaired, wrong_chats
from .format import Columns, Format, Row, Said
from .turns import plain, said_in, wrong_answers, wrong_text

BOTH = ("prompt", "completion")
ENDS_A_PROMPT = ("user", "tool")


def _unpaired(row: Row) -> str:
    if reason := unpaired(row, BOTH):
        return reason
    if row.get("label") is not None:
        return "the row has `label`, which says whether its answer is wanted (KTO): this version would train on all"
    return ""


def _wrong_text(row: Row, _blind: str) -> str:
    return (
        _unpaired(row)
        or wrong_text(row["prompt"], "prompt", may_be_empty=True)
        or wrong_text(row["completion"], "completion")
    )


def _wrong_chat(row: Row, blind: str) -> str:
    return _unpaired(row) or wrong_chats(row, BOTH, blind) or _wrong_ends(row)


def _wrong_ends(row: Row) -> str:
    last = row["prompt"][-1]["role"]
    if last not in ENDS_A_PROMPT:
        return f"`prompt` ends with a message of the {last}: an answer follows a message of the user, or of a tool"
    other = next((one["role"] for one in row["completion"] if one["role"] != "assistant"), "")
    if other:
        return f"`completion` has a message of the {other}, which would be trained: `messages` tells turns apart"
    return wrong_answers(row["completion"])


PROMPT_COMPLETION = Format(
    name="prompt/completion",
    keys=frozenset(BOTH),
    trained="completion",
    how="text as it is, without a chat template, and the end-of-sequence token after the completion",
    example='{"prompt": "…", "completion": "…"}',
    wrong=_wrong_text,
    columns=lambda row: {key: row[key] for key in BOTH},
    said=lambda row: [Said(row["prompt"], False, False), Said(row["completion"], False, True)],
)

CHAT = Format(
    name="prompt/completion messages",
    keys=frozenset(BOTH),
    trained="completion",
    how="conversations, written by the model's own chat template",
    example='{"prompt": [{"role": "user", "content": "…"}], "completion": [{"role": "assistant", "content": "…"}]}',
    wrong=_wrong_chat,
    columns=lambda row: {key: plain(row[key]) for key in BOTH},
    said=lambda row: [one for key in BOTH for one in said_in(row[key])],
)
"""Where the completion has several messages, what the template writes between them is trained too."""


def columns_of(prompt: list[dict[str, str]], answer: str) -> Columns:
    """One answer to a prompt, for formats that are read as this one."""
    return {"prompt": prompt, "completion": [{"role": "assistant", "content": answer}]}
