"""The host's memory and disk."""

from __future__ import annotations

from dataclasses import replace

import pytest

from finefit.catalog.deepspeed import auto_buckets
from finefit.estimate.host import host_of
from finefit.nouns.engine import DDP, FSDP2, DeepSpeed, Engine
from finefit.nouns.host import Host
from finefit.nouns.knobs import Knobs
from finefit.nouns.ledger import Ledger
from finefit.nouns.machine import Machine
from finefit.nouns.method import Full, LoRA, Method, QLoRA
from finefit.units import GIB
from finefit.world.gpus import machine_named

BASE, TRAINED = 8_000_000_000, 40_000_000
ADAPTED = Ledger(20 * GIB, "backward", {}, (), BASE + TRAINED, TRAINED)
WHOLE = Ledger(80 * GIB, "optimizer", {}, (), BASE, BASE)


def host(method: Method, engine: Engine | None = None, gpus: int = 1, pinned: dict[str, int] | None = None) -> Host:
    ledger = WHOLE if isinstance(method, Full) else ADAPTED
    return host_of(method, Knobs(2048), machine_named(f"{gpus}xA100-80GB"), engine, ledger, pinned or {})


def zero(stage: int, ranks: int) -> DeepSpeed:
    return DeepSpeed(ranks, stage, "none", auto_buckets(4096, stage))  # type: ignore[arg-type]


@pytest.mark.parametrize("engine", [DDP(8), zero(0, 8), zero(2, 8)])
def test_every_process_loads_for_itself(engine: Engine) -> None:
    """Eight processes put the weights together eight times; where the model is divided, once."""
    each = host(LoRA(), engine, 8)
    weights = [need.nbytes for need in each.ram if need.when == "loading"]
    assert weights == [8 * 2 * BASE]
    for dividing in (zero(3, 8), FSDP2(8)):
        assert [need.nbytes for need in host(LoRA(), dividing, 8).ram if need.when == "loading"] == [2 * BASE]
    assert not [need for need in host(QLoRA(), engine, 8).ram if need.when == "loading"]


def test_pinned_blocks_are_powers_of_two() -> None:
    """A block of 5 GiB takes 8, on every rank."""
    without, offloaded = host(Full(), zero(2, 4), 4), host(Full(), zero(2, 4), 4, {"float32 weights": 5 * GIB})
    assert offloaded.ram_at("training") - without.ram_at("training") == 4 * 8 * GIB


def test_the_fullest_moment_counts() -> None:
    """Never a sum of moments that come after each other; merging is another run, of one process."""
    needs = host(LoRA(), DDP(8), 8)
    assert needs.fullest == "loading"
    assert needs.ram_bytes == needs.ram_at("loading") < sum(need.nbytes for need in needs.ram)
    alone = host(QLoRA())
    assert alone.fullest == "merging"
    assert 2 * BASE < alone.ram_bytes < 2 * BASE + GIB


def test_on_a_processor_the_step_is_in_the_host() -> None:
    """What the ledger counts is there."""
    needs = host_of(LoRA(), Knobs(2048), Machine(None), None, ADAPTED, {})
    assert needs.ram_at("training") >= ADAPTED.peak_bytes


def test_disk_holds_what_is_kept() -> None:
    """Full: three times weights and both moments, in the weights' dtype; an engine's float32 copies are larger."""
    checkpoints = {need.what: need.nbytes for need in host(Full()).disk}
    assert checkpoints["checkpoints"] == 3 * (2 + 2 * 2) * BASE
    assert checkpoints["the model's files"] == checkpoints["the result"] == 2 * BASE
    divided = {need.what: need.nbytes for need in host(Full(), zero(2, 8), 8).disk}
    assert divided["checkpoints"] == 3 * (2 + 8 + 4) * BASE
    adapter = {need.what: need.nbytes for need in host(LoRA()).disk}
    assert adapter["checkpoints"] == 3 * (4 + 8) * TRAINED
    assert adapter["the merged model"] == 2 * BASE


def test_every_need_says_why() -> None:
    """A kind and a reason, for memory and disk."""
    for needs in (host(LoRA(), DDP(2), 2), host(Full(), zero(3, 2), 2, {"weights": GIB})):
        assert all(need.why and need.basis in ("measured", "derived", "guessed") for need in (*needs.ram, *needs.disk))
        assert replace(needs, disk=()).disk_bytes == 0
