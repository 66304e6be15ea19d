"""`instruction`, `input`, `output`, as Alpaca has them: read as a prompt and a completion in messages.

Alpaca's own template ("Below is an instruction that describes a task…") is not used: the model's chat template is. The
input follows the instruction on a new line, as LLaMA-Factory joins them (src/llamafactory/data/converter.py, f816ae46).
"""

from __future__ import annotations

from .format import Columns, Format, Row
from .prompt_completion import CHAT, columns_of
from .turns import wrong_text


def wrong(row: Row, _blind: str) -> str:
    if row.get("history"):
        return "the row has `history`, which this version would not train on: `messages` has turns"
    for key in ("instruction", "output"):
        if row.get(key) is None:
            return f"there is no `{key}`"
    reason = wrong_text(row["instruction"], "instruction") or wrong_text(row["output"], "output")
    optional = ((key, row.get(key)) for key in ("input", "system"))
    wrongs = (wrong_text(value, key, may_be_empty=True) for key, value in optional if value is not None)
    return reason or next((each for each in wrongs if each), "")


def columns(row: Row) -> Columns:
    system = [{"role": "system", "content": row["system"]}] if row.get("system") else []
    asked = row["instruction"] + (f"\n{row['input']}" if row.get("input") else "")
    return columns_of([*system, {"role": "user", "content": asked}], row["output"])


ALPACA = Format(
    name="instruction (Alpaca)",
    keys=frozenset({"instruction", "input", "output", "system"}),
    trained="completion",
    how="as a message of the user (the instruction, a new line, the input) and the assistant's answer (the output), "
    "written by the model's own chat template, not Alpaca's",
    example='{"instruction": "…", "input": "", "output": "…"}',
    wrong=wrong,
    columns=columns,
    said=lambda row: CHAT.said(columns(row)),
)
