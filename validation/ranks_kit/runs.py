"""The runs that are measured: which engine, on how many ranks, what is trained and how.

Knows: what one rank is told, to train for real and to rehearse; the engine in finefit's words and in the libraries'.
Does not know: runs on GPUs. Everything here is small, for a processor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from finefit.catalog.deepspeed import auto_buckets
from finefit.lower.orders import base_orders, rehearsal_orders
from finefit.lower.preferences import task_orders
from finefit.nouns.engine import DDP, FSDP1, FSDP2, Buckets, DeepSpeed, Engine, Offload
from finefit.nouns.images import Images
from finefit.nouns.knobs import Knobs, Loss
from finefit.nouns.loop import Loop
from finefit.nouns.machine import Machine
from finefit.nouns.method import Full, LoRA, Method, QLoRA
from finefit.nouns.model import Model
from finefit.nouns.task import DPO, ROWS, Reference

Name = Literal["ddp", "zero0", "zero1", "zero2", "zero3", "fsdp2", "fsdp1"]
STEPS = 2
RANK = 8
"""Of adapters."""

PLAIN: Mapping[str, Any] = {
    "model_type": "llama", "vocab_size": 2048, "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512, "bos_token_id": None,
    "eos_token_id": 0, "pad_token_id": 0, "tie_word_embeddings": False,
}  # fmt: skip
SHAPES: Mapping[str, Mapping[str, Any]] = {
    "plain": PLAIN,
    "tied": {**PLAIN, "tie_word_embeddings": True},
    "odd": {
        **PLAIN, "hidden_size": 96, "intermediate_size": 288, "num_hidden_layers": 5, "num_attention_heads": 3,
        "num_key_value_heads": 1, "vocab_size": 1111,
    },
    "wide": {
        **PLAIN, "hidden_size": 160, "intermediate_size": 480, "num_hidden_layers": 6, "num_attention_heads": 5,
        "num_key_value_heads": 1, "vocab_size": 3000,
    },
    "qwen": {**PLAIN, "model_type": "qwen2", "tie_word_embeddings": True},
    "seeing": {
        "model_type": "qwen2_vl", "image_token_id": 2040, "video_token_id": 2041, "vision_start_token_id": 2042,
        "vision_end_token_id": 2043, "tie_word_embeddings": False,
        "text_config": {
            **PLAIN, "model_type": "qwen2_vl_text",
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 6, 6]},
        },
        "vision_config": {
            "model_type": "qwen2_vl_vision", "depth": 3, "embed_dim": 64, "hidden_size": 128, "num_heads": 2,
            "mlp_ratio": 4, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2,
        },
    },
}  # fmt: skip
"""`odd`: nothing divides by the ranks. `qwen`: biased projections. `seeing`: each row shows an image."""
IMAGES = Images(112, 112)
"""Of 16 tokens."""

Zero = tuple[tuple[str, int | bool], ...]
"""DeepSpeed's own words, where they are not what transformers' `auto` means."""


@dataclass(frozen=True)
class Run:
    engine: Name
    ranks: int = 2
    method: Literal["full", "lora", "qlora4", "qlora8"] = "full"
    offload: Offload = "none"
    accumulation: int = 1
    checkpointing: Literal["none", "all"] = "none"
    shape: str = "plain"
    batch: int = 2
    length: int = 64
    loss: Loss = "fused"
    optim: str = "adamw_torch_fused"
    rank: int = RANK
    # of adapters
    reshard: bool = True
    # FSDP2's, after forward
    zero: Zero = ()
    dora: bool = False
    reference: Reference | None = None
    # of preferences; None: rows are trained on
    tower: Literal["trained", "frozen"] = "trained"
    # of a model that sees

    @property
    def id(self) -> str:
        """What differs from the plainest run."""
        plain = Run(self.engine)
        said = [self.engine, str(self.ranks), self.method]
        named = [one.name for one in fields(Run) if one.name not in ("engine", "ranks", "method", "zero")]
        said += [f"{name}={getattr(self, name)}" for name in named if getattr(self, name) != getattr(plain, name)]
        return " ".join([*said, *(f"{name}={value}" for name, value in self.zero)])

    @property
    def stage(self) -> Literal[0, 1, 2, 3] | None:
        """Of DeepSpeed's ZeRO."""
        stages: dict[str, Literal[0, 1, 2, 3]] = {"zero0": 0, "zero1": 1, "zero2": 2, "zero3": 3}
        return stages.get(self.engine)

    @property
    def images(self) -> Images | None:
        return IMAGES if self.shape == "seeing" else None


def model_of(run: Run) -> Model:
    return Model(f"tiny {run.shape}", SHAPES[run.shape], source="made up")


def method_of(run: Run) -> Method:
    match run.method:
        case "full":
            return Full()
        case "lora":
            return LoRA(run.rank, use_dora=run.dora)
        case "qlora4" | "qlora8":
            return QLoRA(4 if run.method == "qlora4" else 8, run.rank, double_quant=False, use_dora=run.dora)


def engine_of(run: Run, buckets: Buckets | None = None) -> Engine:
    """`buckets`: as DeepSpeed itself read them, where that is known."""
    match run.engine:
        case "ddp":
            return DDP(run.ranks)
        case "fsdp2":
            return FSDP2(run.ranks, run.offload != "none", run.reshard)
        case "fsdp1":
            return FSDP1(run.ranks)
    assert run.stage is not None
    return DeepSpeed(run.ranks, run.stage, run.offload, buckets or replace(_auto(run), **dict(run.zero)))  # type: ignore[arg-type]


def _auto(run: Run) -> Buckets:
    assert run.stage is not None
    return auto_buckets(model_of(run).hidden_size or 0, run.stage)


def orders_of(run: Run) -> dict[str, Any]:
    """Of one rank, trained or rehearsed: in the dtype that the engine computes in, all that is trained in it too."""
    knobs = Knobs(
        max_length=run.length,
        per_device_train_batch_size=run.batch,
        gradient_accumulation_steps=run.accumulation,
        gradient_checkpointing="all" if run.checkpointing == "all" else 0,
        dtype="bfloat16",
        mixed_precision="no",
        optim=run.optim,
        loss=run.loss,
        freeze_vision_tower=run.tower == "frozen",
    )
    model, machine = model_of(run), Machine(None)
    orders = base_orders(model, method_of(run), knobs, machine, False)
    if (
        run.engine.startswith("fsdp") and run.method == "qlora4"
    ):  # bytes are not divided, elements of the weights' dtype are
        orders["model"]["quantization"] |= {"bnb_4bit_quant_storage": "bfloat16"}
    loop = Loop(adapter_dtype="bfloat16", kbit_preparation=False)
    orders |= task_orders(DPO(run.reference) if run.reference else ROWS, model, method_of(run), knobs)
    return rehearsal_orders(orders, model, knobs, machine, loop, whole=True, images=run.images)


def trainer_words(run: Run) -> dict[str, Any]:
    """What TrainingArguments are told of the engine."""
    match run.engine:
        case "ddp":
            return {"ddp_backend": "gloo"}
        case "fsdp2":
            words = {
                "fsdp_version": 2,
                "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
                "cpu_ram_efficient_loading": False,
            }
            more = {"reshard_after_forward": run.reshard, "offload_params": run.offload != "none"}
            return {"bf16": True, "fsdp": True, "fsdp_config": words | more}
        case "fsdp1":
            words = {
                "version": 1,
                "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
                "cpu_ram_efficient_loading": False,
                "backward_prefetch": "backward_pre",
                "sync_module_states": False,
            }
            return {"bf16": True, "fsdp": True, "fsdp_config": words}
    return {"bf16": True, "deepspeed": deepspeed_words(run)}


def deepspeed_words(run: Run) -> dict[str, Any]:
    zero: dict[str, Any] = {"stage": run.stage}
    if run.stage:
        zero["reduce_bucket_size"] = "auto"
    if run.stage == 3:
        zero |= {"stage3_prefetch_bucket_size": "auto", "stage3_param_persistence_threshold": "auto"}
    if run.reference == "model":  # transformers fills in what is `auto` after TRL has made the copy's engine
        zero |= {name: value for name, value in asdict(_auto(run)).items() if name in zero}
    host = {"device": "cpu", "pin_memory": True}
    zero |= {} if run.offload == "none" else {"offload_optimizer": host}
    zero |= {"offload_param": host} if run.offload == "all" else {}
    auto = ("train_micro_batch_size_per_gpu", "train_batch_size", "gradient_accumulation_steps", "gradient_clipping")
    return {
        **dict.fromkeys(auto, "auto"),
        "bf16": {"enabled": "auto"},
        "zero_optimization": zero | dict(run.zero),
        "zero_force_ds_cpu_optimizer": False,  # its own would be compiled; torch's takes the same memory
        "steps_per_print": 1_000_000,
    }
