"""One rank of a run: as `worker.train`, in step with the others.

The first rank writes events, checkpoints' names and the result, and reads it back when the others are gone.
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from transformers import set_seed

from ..bends.shard_tells_epoch import shard_tells_epoch
from ..checkpoints import read_manifest, step_of, sweep
from ..events import Events
from ..processor import papers_of
from ..profiled import profilers
from ..progress import resident_memory
from ..saved import logits_of
from ..stage import Stage
from ..stop import Stop, Stopped
from ..train import Kinds, Measure, Trained, checkpoint_to_resume, finish, made_trainer, measure_gpu, to_check
from .group import Group, SharedStop, join
from .held import held_by, whole
from .preferences import PreferenceRankTrainer
from .saved import save_together
from .trainer import Loaded, OfRanks, RankCallback, RankTrainer, SeeingRankTrainer, SharedProgress

KINDS = Kinds(RankTrainer, PreferenceRankTrainer, SeeingRankTrainer)


def train(run: Path, events: Events, stop: Stop) -> None:
    """`events`: of the first rank; what others write is nowhere."""
    orders = json.loads((run / "orders" / "train.json").read_text())
    group = join(orders["engine"]["name"], orders["device"])
    resume = group.told(lambda: _swept(run, orders, events))
    events.write("started", resumed_from=step_of(resume) if resume else 0)
    trained = _train(run, orders, resume, events, SharedStop(stop, group), group)
    is_first = group.is_first
    group.leave()
    _forget_engine(orders["engine"]["name"])
    if is_first:
        finish(run, orders, trained, events)


def _swept(run: Path, orders: dict[str, Any], events: Events) -> Path | None:
    sweep(run)
    sweep(run / "checkpoints")
    return checkpoint_to_resume(run, orders, events)


def _train(
    run: Path, orders: dict[str, Any], resume: Path | None, events: Events, stop: SharedStop, group: Group
) -> Trained:
    measure = _measure(orders["device"], events, group)
    progress = SharedProgress(measure.memory, group)
    if resume:
        done = read_manifest(resume)
        progress.restore(done["step"], done["tokens"], done["seconds"])
    resumed = resume is not None
    shard_tells_epoch()
    callback = RankCallback(events, progress, stop, resumed, engine=orders["engine"]["name"], resumed=resumed)
    callbacks = [callback, *profilers(run, orders, events, progress, group.rank)]
    watchers = {"events": events, "progress": progress, "callbacks": callbacks, "check": stop.check}
    trainer = made_trainer(run, orders, measure, kinds=KINDS, elements=whole, group=group, **watchers)
    assert isinstance(trainer, OfRanks)
    trainer.divide()
    callback.trainer = trainer
    callback.on_measured = lambda: measure.write(trainer)
    stop.check()
    set_seed(orders["trainer"]["seed"])
    _train_or_load(trainer, resume)
    if trainer.state.global_step < trainer.state.max_steps:
        raise Stopped
    measure.write(trainer)
    stop.check()
    if trainer.eval_dataset is not None:
        trainer.held_out("after")
        measure.write(trainer)
    nbytes = save_together(trainer, run / "adapter", group, papers_of(orders["model"]["folder"]))
    events.write("saved", path="adapter", bytes=nbytes)
    batch = to_check(trainer)
    autocast = trainer.accelerator.autocast
    logits = logits_of(trainer.model, batch, autocast)  # every rank: parts are gathered layer by layer
    totals = {"steps": trainer.state.global_step, "tokens": progress.tokens, "seconds": progress.seconds}
    trainer.accelerator.free_memory()
    if group.is_first:
        sweep(run / "checkpoints")
    return Trained(batch, logits, autocast, totals)


def _train_or_load(trainer: OfRanks, resume: Path | None) -> None:
    try:
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    except Loaded:
        trainer.state.max_steps = trainer.state.global_step


def _measure(device: str, events: Events, group: Group) -> Measure:
    """What each rank holds between two steps; on GPUs also the allocator's counters, of the rank that has most."""
    if device == "cuda":
        alone = measure_gpu(events)
        stage, aside, memory = alone.stage, alone.aside, alone.memory
    else:
        stage, aside, memory = Stage(), nullcontext, resident_memory

    def write(trainer: Any) -> None:
        ranks = group.gathered(held_by(trainer))
        events.write("measured", kind="held", ranks=ranks)
        if device == "cuda":
            events.write("measured", **_most(group.gathered(stage.measured())))  # type: ignore[attr-defined]

    return Measure(stage, aside, memory, write)


def _most(measured: list[dict[str, Any]]) -> dict[str, Any]:
    """Of all ranks, each number where it is highest."""
    phases = {name: max(each["phases"].get(name, 0) for each in measured) for name in measured[0]["phases"]}
    numbers = {
        name: max((each[name] for each in measured if each[name] is not None), default=None)
        for name in ("peak_bytes", "reserved_bytes", "device_bytes")
    }
    return {"kind": "allocator", "phases": phases, **numbers}


def _forget_engine(engine: str) -> None:
    """transformers would divide what is read back, too."""
    if engine == "deepspeed":
        from transformers.integrations.deepspeed import unset_hf_deepspeed_config

        unset_hf_deepspeed_config()
