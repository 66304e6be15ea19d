"""The trainer of a run on several ranks: the same rows meet in the same step as on one, however many there are.

Knows: each micro-batch goes to the next rank, so the longest row, which comes in the last micro-batch of the second
step, comes to the last rank in its last one. Held-out rows are divided too, and their loss is of all of them. Every
rank writes its part of a checkpoint, and the first makes it visible when all have.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch.utils.data import Sampler

from finefit.errors import RunFailed

from ..evaluated import HeldOut
from ..progress import Progress, tokens_of
from ..run_trainer import OfRun, RunCallback, RunTrainer
from ..seeing import SeeingRunTrainer
from . import blanks
from .group import Group
from .held import held_by, whole

WRAPPED = {"ddp": "DistributedDataParallel", "deepspeed": "DeepSpeedEngine", "fsdp2": "FSDP"}
"""How the name begins of the class that a model must be wrapped in. FSDP2 puts its own before the model's."""


class SharedProgress(Progress):
    """Tokens are those of all ranks."""

    def __init__(self, memory: Any, group: Group) -> None:
        super().__init__(memory)
        self._group = group

    def count(self, batches: list[dict[str, Any]]) -> None:
        own = sum(tokens_of(batch) - blanks.tokens_of(batch) for batch in batches)
        self.tokens += int(self._group.sum([own])[0])


class OfRanks(OfRun):
    """What several ranks add to a trainer of a run, before which it comes."""

    train_dataset: Any
    eval_dataset: Any
    own_rows: int
    # without blank ones
    has_begun = False
    # the first step; before it an evaluation may be ended

    def __init__(self, *args: Any, group: Group, **kwargs: Any) -> None:
        self.group = group
        self.has_blanks = {"train": False, "eval": False}
        super().__init__(*args, **kwargs)

    def divide(self) -> None:
        """All rows among all ranks; nothing may be trained on before."""
        size, self.own_rows = self.group.size, len(self.train_dataset)
        self.train_dataset = blanks.with_blanks(self.train_dataset, self.args.per_device_train_batch_size * size)
        self.has_blanks["train"] = len(self.train_dataset) > self.own_rows
        if self.eval_dataset is not None:
            held_out = len(self.eval_dataset)
            self.eval_dataset = blanks.with_blanks(self.eval_dataset, self.args.per_device_eval_batch_size * size)
            self.has_blanks["eval"] = len(self.eval_dataset) > held_out

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        rows = self.train_dataset if train_dataset is None else train_dataset
        inner = self.longest_first(rows.select(range(self.own_rows)), self.group.size)
        return blanks.BlanksLast(inner, len(rows) - self.own_rows)

    def check(self) -> None:
        if not self.has_begun or not self.is_in_train:
            self._check()

    def held_out_rows(self) -> HeldOut:
        own = super().held_out_rows()
        total, count = self.group.sum((own.total, own.count))
        return replace(own, total=total, count=int(count))

    @property
    def publishes(self) -> bool:
        return self.group.is_first

    def wait(self) -> None:
        self.group.wait()

    def _bytes_to_save(self) -> int:
        """Of all ranks: what each has of the optimizer's state, and the model once."""
        states = self.group.sum([held_by(self)["optimizer state"]])[0]
        return int(states) + saved_bytes(self.model)


class RankTrainer(OfRanks, RunTrainer):
    """On rows."""


class SeeingRankTrainer(OfRanks, SeeingRunTrainer):
    """On rows that show images. Every row does, blank ones too: all ranks go through the tower together."""


def saved_bytes(model: Any) -> int:
    """As `run_trainer.saved_bytes`, where a rank may hold parts."""
    has_adapter = hasattr(model, "peft_config")
    return sum(whole(p) * p.element_size() for p in model.parameters() if p.requires_grad or not has_adapter)


class Loaded(Exception):
    """The run had ended after its last step; its weights are back."""


class RankCallback(RunCallback):
    """Looks at what the model was wrapped in, and evaluates before the first step, when the engine is in place."""

    def __init__(self, *args: Any, engine: str, resumed: bool) -> None:
        super().__init__(*args)
        self._engine = engine
        self._resumed = resumed
        self.trainer: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        found = type(self.trainer.model_wrapped).__name__
        if not found.startswith(WRAPPED[self._engine]):
            raise RunFailed(
                f"the model is wrapped in {found}, and the plan says {WRAPPED[self._engine]}: "
                "the libraries made another engine than they were asked for"
            )
        if state.global_step >= state.max_steps:
            raise Loaded
        if self.trainer.eval_dataset is not None and not self._resumed:
            self.trainer.held_out("before")
        self.trainer.has_begun = True
        super().on_train_begin(args, state, control)
