"""accelerate.yaml of a plan, and what the trainer is told of its engine: the same, in two libraries' words.

    accelerate 1.15    commands/config/config_args.py: ClusterConfig; commands/launch.py: the words of `fsdp_config`
    transformers 5.23  training_args.py: _process_fsdp_args

Knows: one machine with all GPUs; `accelerate launch` has options for more, which win over the file. Does not know:
FSDP1, which no plan chooses.
"""

from __future__ import annotations

from typing import Any, assert_never

from finefit.nouns.engine import DDP, FSDP1, FSDP2, DeepSpeed, Engine
from finefit.nouns.knobs import Dtype, MixedPrecision

DS_CONFIG = "ds_config.json"
SCRIPT = "train.py"
ACCELERATE = "accelerate.yaml"
MIXED: dict[Dtype, MixedPrecision] = {"bfloat16": "bf16", "float16": "fp16", "float32": "no"}


def accelerate_config(engine: Engine, mixed_precision: MixedPrecision) -> dict[str, Any]:
    return {
        "compute_environment": "LOCAL_MACHINE",
        **_engine(engine, mixed_precision),
        "num_machines": 1,
        "machine_rank": 0,
        "num_processes": engine.ranks,
        "main_training_function": "main",
        "rdzv_backend": "static",
        "same_network": True,
        "use_cpu": False,
        "debug": False,
    }


def _engine(engine: Engine, mixed_precision: MixedPrecision) -> dict[str, Any]:
    match engine:
        case DDP():
            return {"distributed_type": "MULTI_GPU", "mixed_precision": mixed_precision}
        case DeepSpeed():  # accelerate refuses a precision beside a file of DeepSpeed's, which has one
            words = {"deepspeed_config_file": DS_CONFIG, "zero3_init_flag": engine.stage == 3}
            return {"distributed_type": "DEEPSPEED", "deepspeed_config": words}
        case FSDP2():
            return {"distributed_type": "FSDP", "mixed_precision": mixed_precision, "fsdp_config": _fsdp(engine)}
        case FSDP1():
            raise AssertionError("no plan chooses FSDP1")
        case _:
            assert_never(engine)


def _fsdp(engine: FSDP2) -> dict[str, Any]:
    return {
        "fsdp_version": 2,
        "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "fsdp_offload_params": engine.offload,
        "fsdp_reshard_after_forward": engine.reshard_after_forward,
        "fsdp_state_dict_type": "FULL_STATE_DICT",
        "fsdp_cpu_ram_efficient_loading": False,
    }


def trainer_words(engine: Engine | None) -> dict[str, Any]:
    """Arguments of the trainer, whatever starts it."""
    match engine:
        case None | DDP():
            return {}
        case DeepSpeed():
            return {"deepspeed": DS_CONFIG}
        case FSDP2():
            words = {
                "version": 2,
                "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
                "cpu_offload": engine.offload,
                "reshard_after_forward": engine.reshard_after_forward,
                "state_dict_type": "FULL_STATE_DICT",
                "cpu_ram_efficient_loading": False,
            }
            return {"fsdp": True, "fsdp_config": words}
        case FSDP1():
            raise AssertionError("no plan chooses FSDP1")
        case _:
            assert_never(engine)


def launch_line(engine: Engine | None) -> str:
    """In the folder of the files."""
    return f"python {SCRIPT}" if engine is None else f"accelerate launch --config_file {ACCELERATE} {SCRIPT}"
