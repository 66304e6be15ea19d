"""What the user wishes, and which answers the user pins. The keys of `job.yaml` are these fields' names.

Names are Hugging Face's and TRL's. A pinned knob narrows what a plan may choose; `None` leaves it to the plan. The
global batch size is a wish: micro-batch × accumulation × GPUs always multiply to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .bad_rows import OnBadRow
from .engine import Offload, ZeroStage
from .knobs import Attention, Checkpointing, Dtype, Loss, MixedPrecision
from .task import Cache, Reference

MethodName = Literal["full", "lora", "qlora4", "qlora8"]
Tracker = Literal["none", "tensorboard", "wandb", "mlflow", "trackio"]
Scheduler = Literal["linear", "cosine", "constant", "constant_with_warmup"]


@dataclass(frozen=True)
class Job:
    model: str
    # hub id, local folder, config.json, or a bundled name
    data: str
    # JSONL, JSON, CSV or Parquet, in one of the formats of `nouns/formats`; or of the hub, as `nouns/hub_rows`
    # has it: a path that exists wins
    eval_data: str | None = None
    # held-out rows, in the same format
    on_bad_row: OnBadRow = "stop"
    # skip: rows that cannot be trained on are left out, named and counted
    task: Literal["sft", "dpo", "generate"] = "sft"
    method: MethodName = "lora"
    from_scratch: bool = False
    # weights are drawn anew: of the model only its configuration and its tokenizer are used
    gpu: str = "auto"
    # like `RTX4090`, `cpu`, or `auto` (this machine)
    output_dir: str | None = None
    # the run folder; by default runs/<name of the job file>-<number>

    # the mathematics
    num_train_epochs: float = 1.0
    max_steps: int = -1
    # positive: overrides num_train_epochs
    global_batch_size: int = 16
    learning_rate: float | None = None
    # None: 1e-4 for adapters, 1e-5 for full fine-tuning; task dpo: 5e-6 and 1e-6
    lr_scheduler_type: Scheduler = "cosine"
    warmup_steps: float = 0.03
    # below 1: that share of all steps
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    assistant_only_loss: bool = True
    # train on the assistant's turns alone
    beta: float = 0.1
    # task dpo: what a reward is worth; more keeps answers nearer to the reference
    lora_r: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.0
    lora_target_modules: str | tuple[str, ...] = "all-linear"
    bnb_4bit_quant_type: Literal["nf4", "fp4"] = "nf4"
    bnb_4bit_use_double_quant: bool = True
    seed: int = 42

    # pinned answers
    max_length: int | None = None
    # None: the longest row
    per_device_train_batch_size: int | None = None
    gradient_accumulation_steps: int | None = None
    gradient_checkpointing: Checkpointing | Literal["none", "auto"] = "auto"
    dtype: Dtype | None = None
    mixed_precision: MixedPrecision | None = None
    optim: str | None = None
    attn_implementation: Attention | None = None
    loss: Loss | None = None
    use_liger_kernel: bool = False
    packing: bool | Literal["auto"] = False
    # rows share sequences of at most `max_length`; a batch is then counted in those
    expandable_segments: bool | None = None
    zero_stage: ZeroStage | None = None
    offload: Offload | None = None
    fsdp: bool = False
    freeze_vision_tower: bool = False
    vit_gradient_checkpointing: bool | None = None

    # what answers are compared with: task dpo
    reference: Reference | None = None
    # None: as TRL does, the model with its adapters off, or beside full fine-tuning a frozen copy
    reference_bits: Literal[4, 8] | None = None
    # of a frozen copy; None: as the weights are that are trained, or have adapters

    # what is written: task generate
    max_new_tokens: int = 128
    # after each prompt
    num_beams: int = 1
    cache_implementation: Cache = "dynamic"
    base: bool = False
    # without the method's adapters

    # what rows show
    image_size: str | None = None
    # like `1280x720`; None: no images
    images: int = 1
    # of one row

    # the run
    logging_steps: int = 1
    eval_steps: int | None = None
    # None: once before and once after training
    save_steps: int = 50
    save_total_limit: int = 2
    report_to: Tracker = "none"
    # where loss and memory are followed; accounts and folders by the tracker's own variables
    trust_remote_code: bool = False
    profile_steps: str | None = None
    # like `3-5`: optimizer steps that torch's profiler records; the first is 1

    # what adapters are
    use_dora: bool = False
    # a weight's length is trained apart from its direction: slower, and more memory
    use_rslora: bool = False
    # scaled by alpha over the rank's root, not over the rank
