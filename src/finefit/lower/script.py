"""train.py of a plan: TRL and PEFT without finefit, from the orders that a run of finefit's own is given.

Knows: rows (SFT) and preferences (DPO) as finefit reads them (`script_rows.py`), every method, loss and engine that a
plan chooses; rows in the order in which finefit meets them, so that losses are the same. Does not know: models that
see, whose towers are set apart; checkpoints that are whole or invisible, receipts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from finefit.nouns.packed import said_of_quantization

from . import script_rows
from .script_parts import CHECKPOINT, LONGEST_FIRST, SAME_AFTER_THE_REFERENCE, WHOLE_LOSS, packed_first

Orders = Mapping[str, Any]
IN_QUIET = ("disable_tqdm", "gradient_checkpointing", "save_total_limit")
"""Of the trainer's arguments, those that a script has in another form."""
ONLY_SFTS = ("assistant_only_loss",)
"""Of SFTConfig's arguments, those that DPOConfig lacks."""
NO_DATA = "DATA is empty: it names the file of rows to train on"
INDENT = "    "


def script(orders: Orders, words: Mapping[str, Any], launch: str) -> str:
    """`words`: what the trainer is told of its engine; `launch`: the line that starts it."""
    parts = [
        _opening(orders, launch),
        _imports(orders),
        _constants(orders),
        *_definitions(orders),
        _main(orders, words),
    ]
    return "\n".join(parts)


def _is_dpo(orders: Orders) -> bool:
    return bool(orders.get("task", {}).get("name") == "dpo")


def _is_packed(orders: Orders) -> bool:
    return said_of_quantization(orders["model"]["config"]) is not None


def _packs(orders: Orders) -> bool:
    """Rows share sequences."""
    return bool(orders["trainer"].get("padding_free"))


def _own_loss(orders: Orders) -> bool:
    return str(orders["loss"]) != "fused"


def _opening(orders: Orders, launch: str) -> str:
    text = f'"""{_model(orders)}, as finefit planned it; needs no finefit.\n\n    {launch}\n"""\n\nimport os\n'
    for name, value in orders["environment"].items():
        text += f"\nos.environ[{_quoted(name)}] = {_quoted(value)}  # torch reads it as it starts"
    return text + ("\n" if orders["environment"] else "")


def _model(orders: Orders) -> str:
    return str(orders["model"]["folder"])


def _asks(orders: Orders) -> bool:
    """A reference, in every step."""
    return _is_dpo(orders) and bool(orders["task"]["reference"] != "precomputed")


def _imports(orders: Orders) -> str:
    return "\n".join(line for line, is_needed in _wanted(orders) if is_needed) + "\n"


def _wanted(orders: Orders) -> Iterator[tuple[str, bool]]:
    """Each import, and whether it is needed."""
    dpo, model, checkpoints = _is_dpo(orders), orders["model"], orders["gradient_checkpointing"] != 0
    quantized = model["quantization"] is not None or (dpo and orders["task"]["quantization"] is not None)
    readers = script_rows.imports(orders["data"])
    for line in sorted(line for line in readers if line.startswith("import ")):
        yield line, True
    yield "from contextlib import contextmanager", _asks(orders)
    yield "from pathlib import Path\n", True
    yield "import torch", not dpo or orders["adapter_dtype"] is not None
    yield "from datasets import Dataset", True
    prepares = model["quantization"] is not None and model["prepare"]
    peft = (("LoraConfig", orders["peft"]), ("PeftModel", checkpoints), ("get_peft_model", orders["peft"] and not dpo))
    names = [name for name, is_needed in (*peft, ("prepare_model_for_kbit_training", prepares)) if is_needed]
    yield f"from peft import {', '.join(names)}", bool(names)
    for line in sorted(line for line in readers if line.startswith("from ")):
        yield line, True
    yield "from torch.utils.data import Sampler", not dpo
    more = (("AutoConfig", _is_packed(orders)), ("BitsAndBytesConfig", quantized))
    names = [*(name for name, is_needed in more if is_needed), "AutoModelForCausalLM", "AutoTokenizer", "set_seed"]
    yield f"from transformers import {', '.join(sorted(names))}", True
    yield "from transformers import Trainer as HuggingFaceTrainer", _own_loss(orders)
    yield "from transformers.integrations.liger import apply_liger_kernel", orders["loss"] == "liger"
    yield "from transformers.modeling_layers import GradientCheckpointingLayer", checkpoints
    yield ("from trl import DPOConfig, DPOTrainer" if dpo else "from trl import SFTConfig, SFTTrainer"), True
    yield "from trl.data_utils import pack_dataset", _packs(orders)
    yield "from trl.trainer import dpo_trainer", _asks(orders)


def _constants(orders: Orders) -> str:
    data, rows = orders["data"], "prompt, chosen, rejected" if _is_dpo(orders) else "messages"
    told = "" if data["train"] else f"  # fill in: a JSONL file, each row with {rows}"
    lines = ["HERE = Path(__file__).parent", f"MODEL = {_quoted(_model(orders))}"]
    lines += [f"DATA = {_quoted(data['train'])}{told}"]
    lines += [f"EVAL_DATA = {_quoted(data['eval'])}"] if data["eval"] else []
    lines += [f"MAX_LENGTH = {orders['max_length']}"] if orders["max_length"] and not _is_dpo(orders) else []
    return "\n".join([*lines, f"SEED = {orders['trainer']['seed']}"]) + "\n"


def _definitions(orders: Orders) -> Iterator[str]:
    yield script_rows.definitions(orders["data"], is_dpo=_is_dpo(orders))
    if not _is_dpo(orders):
        yield (packed_first() if _packs(orders) else LONGEST_FIRST) + (WHOLE_LOSS if _own_loss(orders) else "")
    if orders["gradient_checkpointing"] != 0:
        yield CHECKPOINT
    if _asks(orders):
        yield SAME_AFTER_THE_REFERENCE


def _main(orders: Orders, words: Mapping[str, Any]) -> str:
    lines = ["if not DATA:", f"{INDENT}raise SystemExit({_quoted(NO_DATA)})"]
    lines += _call("args = ", "DPOConfig" if _is_dpo(orders) else "SFTConfig", _arguments(orders, words))
    lines += ["set_seed(SEED)", *_load("model", orders["model"], _is_packed(orders)), *_adapter(orders)]
    lines += _preference_trainer(orders) if _is_dpo(orders) else _trainer(orders)
    if orders["adapter_dtype"] is not None:
        cast = f"parameter.data = parameter.data.to(torch.{orders['adapter_dtype']})"
        lines += ["for parameter in trainer.model.parameters():", f"{INDENT}if parameter.requires_grad:"]
        lines += [f"{INDENT * 2}{cast}"]
    if orders["gradient_checkpointing"] != 0:
        count = None if orders["gradient_checkpointing"] == "all" else orders["gradient_checkpointing"]
        lines += [f"checkpoint_first(trainer.model, {count})"]
    lines += ["set_seed(SEED)", "trainer.train()"]
    lines += ["print(trainer.evaluate())"] if orders["data"]["eval"] else []
    lines += ['trainer.save_model(str(HERE / "out" / "adapter"))']
    body = "\n".join(INDENT + line for line in lines)
    return f'\ndef main():\n{body}\n\n\nif __name__ == "__main__":\n{INDENT}main()\n'


def _arguments(orders: Orders, words: Mapping[str, Any]) -> dict[str, str]:
    """As Python text."""
    given = {key: value for key, value in orders["trainer"].items() if key not in IN_QUIET}
    kept = {"max_length"} if not _is_dpo(orders) else {"max_length", *ONLY_SFTS}
    said = {key: _quoted(value) for key, value in given.items() if value is not None and key not in kept}
    engine = {key: _quoted(value) for key, value in words.items() if key != "deepspeed"}
    if "deepspeed" in words:
        engine["deepspeed"] = f"str(HERE / {_quoted(words['deepspeed'])})"
    more = {"max_length": "None", "gradient_checkpointing": "False", "logging_nan_inf_filter": "False"}
    if _is_dpo(orders):
        more["precompute_ref_log_probs"] = repr(orders["task"]["reference"] == "precomputed")
    limit = repr(orders["save_total_limit"])
    return {"output_dir": 'str(HERE / "out" / "checkpoints")', **said, "save_total_limit": limit, **more, **engine}


def _load(name: str, model: Mapping[str, Any], is_packed: bool) -> list[str]:
    words = {key: _quoted(model[key]) for key in ("dtype", "attn_implementation")}
    lines: list[str] = []
    if model["quantization"] is not None:
        said = {key: _quoted(value) for key, value in model["quantization"].items()}
        lines += _call("quantization = ", "BitsAndBytesConfig", said)
        words["quantization_config"] = "quantization"
    if is_packed:  # its own words are replaced, as finefit does
        trusted = ", trust_remote_code=True" if model["trust_remote_code"] else ""
        lines += [f"config = AutoConfig.from_pretrained(MODEL{trusted})"]
        lines += ["config.quantization_config = quantization.to_dict()"]
        words = {**words, "quantization_config": "None", "config": "config"}
    words |= {"trust_remote_code": "True"} if model["trust_remote_code"] else {}
    lines += _call(f"{name} = ", "AutoModelForCausalLM.from_pretrained", words | {"use_safetensors": "True"}, "MODEL")
    if model["quantization"] is not None and model["prepare"]:
        lines += [f"{name} = prepare_model_for_kbit_training({name}, use_gradient_checkpointing=False)"]
    return lines


def _adapter(orders: Orders) -> list[str]:
    if orders["peft"] is None:
        return []
    words = {key: _quoted(value) for key, value in {"task_type": "CAUSAL_LM", **orders["peft"]}.items()}
    lines = _call("adapter = ", "LoraConfig", words)
    return lines if _is_dpo(orders) else [*lines, "model = get_peft_model(model, adapter)"]


def _trainer(orders: Orders) -> list[str]:
    words = {"model": "model", "args": "args", **_datasets(orders)}
    liger = ['apply_liger_kernel(model, {"fused_linear_cross_entropy": True})'] if orders["loss"] == "liger" else []
    lines = [*liger, *_call("trainer = ", "Planned", words | _tokenizer())]
    if orders["max_length"] or _packs(orders):
        lines += ['longest = max(len(ids) for ids in trainer.train_dataset["input_ids"])']
    if orders["max_length"]:
        lines += ["if longest > MAX_LENGTH:"]
        lines += [f'{INDENT}raise SystemExit(f"a row has {{longest}} tokens: planned were {{MAX_LENGTH}} at most")']
    if _packs(orders):
        lines += ['rows = trainer.train_dataset.select_columns(["input_ids", "labels"])']
        lines += [f"trainer.train_dataset = pack_dataset(rows, {'MAX_LENGTH' if orders['max_length'] else 'longest'})"]
    return lines


def _preference_trainer(orders: Orders) -> list[str]:
    words = {"model": "model", "args": "args", **_datasets(orders)}
    words |= {"peft_config": "adapter"} if orders["peft"] is not None else {}
    lines: list[str] = []
    if orders["task"]["reference"] == "model":
        copied = {**orders["model"], "quantization": orders["task"]["quantization"], "prepare": False}
        lines += [*_load("reference", copied, _is_packed(orders)), "reference.eval()"]
        words |= {"ref_model": "reference"}
    return lines + _call("trainer = ", "DPOTrainer", words | _tokenizer())


def _datasets(orders: Orders) -> dict[str, str]:
    names = {"train_dataset": "DATA", "eval_dataset": "EVAL_DATA"}
    files = zip(names.items(), script_rows.files_in(orders["data"]), strict=False)
    return {
        name: f"Dataset.from_list([columns(row) for row in {script_rows.reader_of(path)}({constant})])"
        for (name, constant), path in files
    }


def _tokenizer() -> dict[str, str]:
    return {"processing_class": "AutoTokenizer.from_pretrained(MODEL)"}


def _call(start: str, name: str, words: Mapping[str, str], first: str = "") -> list[str]:
    """One argument a line."""
    positional = [f"{INDENT}{first},"] if first else []
    return [f"{start}{name}(", *positional, *(f"{INDENT}{key}={value}," for key, value in words.items()), ")"]


def _quoted(value: Any) -> str:
    """As Python text; with double quotes, as formatters have it."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
