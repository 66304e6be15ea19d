"""How a standalone script reads a job's files: by the kind of each, and by the format of its rows, as finefit does.

It checks nothing: files are those that were checked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from finefit.nouns.formats import MESSAGES, named
from finefit.nouns.formats.alpaca import ALPACA
from finefit.nouns.formats.pairs import PROMPTED
from finefit.nouns.formats.sharegpt import SHAREGPT, SPEAKERS

JSONL = '''
def read_jsonl(path):
    """An object on each line."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]
'''

JSON = '''
def read_json(path):
    """An array of objects, or one on each line."""
    text = Path(path).read_text(encoding="utf-8")
    lines = (line for line in text.split("\\n") if line.strip())
    return json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in lines]
'''

CSV = '''
def read_csv(path):
    """Text alone, under the names of the first line."""
    csv.field_size_limit(2**31 - 1)
    with open(path, encoding="utf-8-sig", newline="") as file:
        names, *rows = [row for row in csv.reader(file, strict=True) if row]
    return [dict(zip((name.strip() for name in names), row, strict=True)) for row in rows]
'''

PARQUET = """
def read_parquet(path):
    return parquet.read_table(path).to_pylist()
"""

READERS = {
    ".json": ("read_json", JSON, "import json"),
    ".csv": ("read_csv", CSV, "import csv"),
    ".parquet": ("read_parquet", PARQUET, "from pyarrow import parquet"),
}
"""By the end of a file's name: the function, its text and what it imports. Any other name is read as JSONL."""
USUAL = ("read_jsonl", JSONL, "import json")

AS_TEXT = '''
def columns(row):
    """What TRL reads of it, and nothing else."""
    return {{key: row[key] for key in {keys}}}
'''

AS_MESSAGES = '''
def columns(row):
    """What TRL reads of it, and nothing else."""
    return {{key: [{{"role": each["role"], "content": each["content"]}} for each in row[key]] for key in {keys}}}
'''

AS_ALPACA = '''
def columns(row):
    """A prompt (the instruction, a new line, the input) and its answer, for the model's chat template."""
    system = [{"role": "system", "content": row["system"]}] if row.get("system") else []
    asked = row["instruction"] + ("\\n" + row["input"] if row.get("input") else "")
    prompt = [*system, {"role": "user", "content": asked}]
    return {"prompt": prompt, "completion": [{"role": "assistant", "content": row["output"]}]}
'''

AS_SHAREGPT = '''
ROLES = {roles}


def columns(row):
    """A conversation, for the model's chat template."""
    system = [{{"role": "system", "content": row["system"]}}] if row.get("system") else []
    turns = [{{"role": ROLES[each["from"]], "content": each["value"]}} for each in row["conversations"]]
    return {{"messages": [*system, *turns]}}
'''

Data = Mapping[str, str | None]
"""Of the orders: `train` and `eval`, and their `format`, where there are rows."""


def files_in(data: Data) -> tuple[str, ...]:
    """The one to train on may be empty still."""
    return tuple(data[which] or "" for which in ("train", "eval") if which == "train" or data[which])


def reader_of(path: str) -> str:
    """Its name in the script."""
    return _reader(path)[0]


def imports(data: Data) -> frozenset[str]:
    return frozenset(_reader(path)[2] for path in files_in(data))


def definitions(data: Data, *, is_dpo: bool) -> str:
    """Of each reader that is needed, and of what is read of a row; of rows that are to come, the usual one."""
    readers = dict.fromkeys(_reader(path)[1] for path in files_in(data))
    usual = PROMPTED if is_dpo else MESSAGES
    return "\n".join([*readers, _columns(data.get("format") or usual.name)])


def _reader(path: str) -> tuple[str, str, str]:
    return READERS.get(Path(path).suffix.lower(), USUAL)


def _columns(name: str) -> str:
    if name == ALPACA.name:
        return AS_ALPACA
    if name == SHAREGPT.name:
        roles = ", ".join(f'"{speaker}": "{role}"' for speaker, role in SPEAKERS.items())
        return AS_SHAREGPT.format(roles=f"{{{roles}}}")
    format = named(name)
    read = format.columns(json.loads(format.example))
    keys = ", ".join(f'"{key}"' for key in read)
    text = AS_MESSAGES if any(isinstance(value, list) for value in read.values()) else AS_TEXT
    return text.format(keys=f"({keys},)" if len(read) == 1 else f"({keys})")
