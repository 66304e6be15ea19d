"""The machine that a word means."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from finefit.errors import BadInput
from finefit.nouns.machine import Machine
from finefit.units import GIB, MIB
from finefit.world.gpus import machine_named, refuse_absent, refuse_elsewhere


class Nvml:
    """Stands for pynvml on a machine with these cards; with none, no driver answers."""

    NVMLError = RuntimeError
    nvmlMemory_v2 = 2

    def __init__(self, *cards: tuple[str, int, tuple[int, int]]) -> None:
        self.cards = cards

    def nvmlInit(self) -> None:
        if not self.cards:
            raise self.NVMLError("driver not loaded")

    def nvmlShutdown(self) -> None: ...

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any:
        if index >= len(self.cards):
            raise self.NVMLError("invalid argument")
        return self.cards[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Any:
        return self.cards[int(uuid.removeprefix("GPU-"))]

    def nvmlDeviceGetName(self, card: Any) -> str:
        return str(card[0])

    def nvmlDeviceGetMemoryInfo(self, card: Any, version: int) -> Any:
        return SimpleNamespace(total=card[1], reserved=355 * MIB)

    def nvmlDeviceGetCudaComputeCapability(self, card: Any) -> tuple[int, int]:
        return card[2]  # type: ignore[no-any-return]


RTX4090 = ("NVIDIA GeForce RTX 4090", 24564 * MIB, (8, 9))
T4 = ("Tesla T4", 15360 * MIB, (7, 5))


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return lambda *present: monkeypatch.setitem(sys.modules, "pynvml", Nvml(*present))


def test_auto_without_a_driver_is_the_processor(cards) -> None:
    """No driver is no GPU, not an error."""
    cards()
    assert machine_named("auto") == Machine(None)


def test_auto_takes_the_first_card_and_what_torch_sees_of_it(cards) -> None:
    """The driver's own share of the memory is not torch's: the rest agrees with the catalog's measured total."""
    cards(RTX4090, T4)
    gpu = machine_named("auto").gpu
    assert gpu is not None
    assert (gpu.name, gpu.compute_capability, gpu.native_bf16) == ("GeForce RTX 4090", (8, 9), True)
    assert gpu.vram_bytes / GIB == pytest.approx(23.64, abs=0.01)


def test_a_card_that_the_catalog_lacks_keeps_its_own_name(cards) -> None:
    """The catalog names cards; it is not needed to use one."""
    cards(("NVIDIA Wonder 9", 64 * GIB, (13, 0)))
    assert machine_named("auto").name == "NVIDIA Wonder 9"


@pytest.mark.parametrize(
    ("visible", "name"), [("1,0", "Tesla T4"), ("GPU-1", "Tesla T4"), ("", "cpu"), ("-1", "cpu"), ("7", "cpu")]
)
def test_auto_sees_what_torch_sees(cards, monkeypatch: pytest.MonkeyPatch, visible: str, name: str) -> None:
    """CUDA_VISIBLE_DEVICES decides which card is the first."""
    cards(RTX4090, T4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert machine_named("auto").name == name


@pytest.mark.parametrize(
    ("present", "visible", "name"),
    [
        ((RTX4090, RTX4090, T4), None, "2xGeForce RTX 4090"),
        ((RTX4090, T4, RTX4090), None, "GeForce RTX 4090"),
        ((RTX4090, T4, RTX4090), "2,0", "2xGeForce RTX 4090"),
        ((RTX4090, RTX4090), "1", "GeForce RTX 4090"),
        ((RTX4090, RTX4090), "1,7,0", "GeForce RTX 4090"),
    ],
)
def test_auto_takes_all_that_are_like_the_first(
    cards, monkeypatch: pytest.MonkeyPatch, present: Any, visible: str | None, name: str
) -> None:
    """Up to one of another kind, or one that torch would not see either."""
    cards(*present)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert machine_named("auto").name == name


def test_processes_of_the_processor_are_ranks() -> None:
    """Counted as cards are."""
    assert machine_named("2xcpu") == machine_named("2 x CPU") == Machine(None, 2)
    assert machine_named("2xcpu").name == "2xcpu"
    assert machine_named("2xcpu").is_cpu


@pytest.mark.parametrize(("word", "name"), [("cpu", "cpu"), ("CPU", "cpu"), ("1xRTX4090", "GeForce RTX 4090")])
def test_words_for_one_device(word: str, name: str) -> None:
    """A name, the processor, and a count of one."""
    assert machine_named(word).name == name


@pytest.mark.parametrize(("word", "count"), [("2xRTX4090", 2), ("8 x H100-80GB", 8), ("1x4090", 1)])
def test_several_cards_are_one_machine(word: str, count: int) -> None:
    """The same card, so many times."""
    machine = machine_named(word)
    assert (machine.count, machine.gpu) == (count, machine_named(word.split("x")[1].strip()).gpu)


def test_no_card_at_all_is_refused() -> None:
    """A count of none is no machine."""
    with pytest.raises(BadInput, match="is no GPU"):
        machine_named("0x4090")


@pytest.mark.parametrize("gib", [8, 16])
def test_cards_of_one_name_are_told_apart_by_their_memory(cards, gib: int) -> None:
    """As the driver shows it."""
    cards(("NVIDIA GeForce RTX 4060 Ti", gib * GIB - 4 * MIB, (8, 9)))
    gpu = machine_named("auto").gpu
    assert gpu is not None
    assert gpu.name == f"GeForce RTX 4060 Ti {gib}GB"


def test_a_run_is_where_its_plan_is_for(cards) -> None:
    """On that card, or on the processor; a run that has begun may go on on another card, and on none without one."""
    cards(RTX4090)
    for name in ("auto", "cpu", "RTX4090"):
        refuse_elsewhere(machine_named(name))
    with pytest.raises(BadInput, match="no Tesla T4 is here\n    why: the GPU of this machine is GeForce RTX 4090"):
        refuse_elsewhere(machine_named("T4"))
    refuse_absent(machine_named("T4"))
    with pytest.raises(BadInput, match="no 2xGeForce RTX 4090 are here\n    why: 1 of one kind can be seen"):
        refuse_absent(machine_named("2xRTX4090"))
    cards(RTX4090, RTX4090)
    refuse_elsewhere(machine_named("2xRTX4090"))
    cards()
    for refuse in (refuse_elsewhere, refuse_absent):
        refuse(machine_named("auto"))
        refuse(machine_named("cpu"))
        with pytest.raises(BadInput, match="no Tesla T4 is here\n    why: no NVIDIA driver answers"):
            refuse(machine_named("T4"))
