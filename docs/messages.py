"""Twenty broken jobs and twenty broken data files, and what `finefit train` says of each: docs/messages.md.

Written by docs/make.py, with the command line itself.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from finefit.cli.main import run

BASE = Path(__file__).parents[1] / "examples" / "base"
GOOD = '{"messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]}'
JOBS = (
    ("A key with a slip", "lora_rr: 8"),
    ("A number that is none", "lora_r: many"),
    ("A number out of range", "learning_rate: -1e-4"),
    ("A word that is near", "lr_scheduler_type: cosin"),
    ("A dtype by its short name", "dtype: bf16"),
    ("A GPU that does not exist", "gpu: RTX4091"),
    ("An optimizer that is not known", "optim: adamw_apex_fused"),
    ("The same twice, by two names", "lora_r: 8\nlora_rank: 16"),
    ("Two that exclude each other", "use_4bit: true\nmethod: full"),
    ("What means nothing here", "method: full\nlora_r: 8"),
    ("A batch that does not divide", "per_device_train_batch_size: 3"),
    ("A batch that does not multiply", "global_batch_size: 8\nper_device_train_batch_size: 2\ngrad_accum: 2"),
    ("GPUs that do not divide the batch", "gpu: 3xRTX4090"),
    ("Half precision on a processor", "gpu: cpu\nmixed_precision: fp16"),
    ("A kernel that the GPU is too old for", "gpu: T4\nattn_implementation: flash_attention_2"),
    ("Offload without an engine", "offload: optimizer"),
    ("Held-out rows that are not there", "eval_data: nowhere.jsonl"),
    ("A hub's data set, where there is no network", "eval_data: owner/rows:validation"),
    ("No YAML", "lora_r: 8\n\tseed: 3"),
    ("Several at once", "lora_rr: 8\nseed: -1\nmethod: lorra\neval_steps: 5"),
)  # fmt: skip
"""Below `model: base` and `data: rows.jsonl`, where the rows are good."""
ROWS = (
    ("No rows", ""),
    ("No JSON", "not json"),
    ("A line that ends too early", '{"messages": ['),
    ("A JSON array under the name of lines", f"[{GOOD}]"),
    ("No object", '"text"'),
    ("No keys that are known", '{"question": "2 + 2?", "answer": "4"}'),
    ("Messages that are no list", '{"messages": "hello"}'),
    ("No messages", '{"messages": []}'),
    ("A message without a role", '{"messages": [{"content": "4"}]}'),
    ("A role that nobody has", '{"messages": [{"role": "bot", "content": "4"}]}'),
    ("ShareGPT's names among messages", '{"messages": [{"from": "human", "value": "2 + 2?"}]}'),
    ("Content that is no text", '{"messages": [{"role": "assistant", "content": 4}]}'),
    ("Nothing to train on", '{"messages": [{"role": "user", "content": "2 + 2?"}]}'),
    ("Every answer empty", '{"messages": [{"role": "assistant", "content": " "}]}'),
    ("Half of a pair", '{"prompt": "2 + 2?"}'),
    ("Text and messages", '{"prompt": "2 + 2?", "completion": [{"role": "assistant", "content": "4"}]}'),
    ("Tools", '{"tools": ["f"], "messages": [{"role": "assistant", "content": "4"}]}'),
    ("Half of a character", '{"messages": [{"role": "assistant", "content": "\\ud800"}]}'),
    ("Two formats in one file", f'{GOOD}\n{{"instruction": "2 + 2?", "output": "4"}}'),
    ("Some rows of many", "\n".join([GOOD, "{}", GOOD, '{"messages": []}', GOOD])),
)  # fmt: skip


def page() -> str:
    lines = [
        "# What finefit says of broken input",
        "",
        "Made by `python docs/make.py`; do not edit. Each of these ends with exit code 2 before a model is loaded, and "
        "leaves nothing behind. All problems of one input are told at once.",
        "",
        "## Twenty broken jobs",
        "",
        "Below `model: base` and `data: rows.jsonl`:",
    ]
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        Path("base").symlink_to(BASE.resolve(), target_is_directory=True)
        for name, text in JOBS:
            lines += _shown(name, text, "yaml", _said(text, GOOD))
        lines += ["", "## Twenty broken data files"]
        for name, text in ROWS:
            lines += _shown(name, text, "json", _said("gpu: cpu", text))
    return "\n".join(lines) + "\n"


def _said(job: str, rows: str) -> str:
    Path("rows.jsonl").write_text(rows + "\n", encoding="utf-8")
    Path("job.yaml").write_text(f"model: base\ndata: rows.jsonl\n{job}\n", encoding="utf-8")
    os.environ["HF_HUB_OFFLINE"] = "1"  # what a hub says of a name is not ours
    said = StringIO()
    with redirect_stderr(said), redirect_stdout(StringIO()):
        code = run(["train", "job.yaml"])
    assert code == 2, (job, rows, said.getvalue())
    assert not Path("runs").exists(), job
    return said.getvalue().replace(os.getcwd() + os.sep, "").strip()


def _shown(name: str, text: str, language: str, said: str) -> Iterator[str]:
    yield from ("", f"**{name}**", "")
    yield from (f"```{language}", *text.splitlines(), "```", "")
    yield from ("```text", *said.splitlines(), "```")
