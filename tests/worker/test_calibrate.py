"""A calibration: on this processor for real, and on a card that is not there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from finefit import api
from finefit.nouns.calibration import Calibration, What
from finefit.units import MIB
from finefit.worker import calibrate
from finefit.worker.calibration import products
from finefit.worker.calibration.clock import LEAST, Clock, figure
from finefit.world.calibrations import read

pytestmark = pytest.mark.xdist_group("calibrate")

ON_GPUS = {"context alone", "context", "copy from host", "copy to peer"}


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, said: list[str]) -> Iterator[Calibration]:
    """Of this processor, in seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FINEFIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("FINEFIT_CALIBRATION")
        made, _ = api.calibrate("cpu", seconds=0.02, lasting=0.1, progress=said.append)
        assert read("cpu") == made
        yield made


def test_the_processor_is_measured_in_everything_that_it_has(found: Calibration) -> None:
    """Each figure is positive, with the middle half of at least some runs around it; cards' own are left out."""
    assert {one.what for one in found.figures} == set(get_args(What)) - ON_GPUS
    for one in found.figures:
        assert 0 < one.low <= one.median <= one.high
        assert one.runs >= LEAST
    assert found.device == "cpu"
    assert found.versions["torch"] == torch.__version__


def test_a_large_product_is_no_less_worth_than_a_tiny_one(found: Calibration) -> None:
    """Of one type, in operations a second; by orders of magnitude, since other processes may run meanwhile."""
    for what in products.TYPES.values():
        rates = [one.median for one in found.figures if one.what == what]
        assert len(rates) == len(products.SHAPES["cpu"])
        assert rates[-1] > rates[0] / 30
        assert max(rates) > 1e8


def test_a_kernel_of_a_step_takes_longer_to_start_than_torch_alone_takes(found: Calibration) -> None:
    """Microseconds, not seconds."""
    assert 1e-8 < found.best("tiny kernel") < found.best("forward kernel") < 1e-2  # type: ignore[operator]


def test_progress_is_heard(found: Calibration, said: list[str]) -> None:
    """What is measured now, in the order of the figures."""
    assert said[0] == "measuring this machine's processor: about a minute"
    assert [text for text in said if text.startswith("matrix products")] == [
        f"matrix products in {products.name_of(dtype)}" for dtype in products.TYPES
    ]
    assert said[-1] == "the start of kernels"


def test_a_figure_is_the_median_and_the_middle_half() -> None:
    """One odd run moves neither."""
    one = figure("copy", "", "bytes/s", [1.0, 2.0, 3.0, 4.0, 1000.0])
    assert (one.low, one.median, one.high, one.runs) == (2.0, 3.0, 4.0, 5)
    alone = figure("context", "", "bytes", [7])
    assert (alone.low, alone.median, alone.high) == (7, 7, 7)


def test_what_lasts_is_read_after_it_lasted() -> None:
    """Calls of the first half of the time are not among the runs."""
    calls: list[int] = []
    runs = Clock("cpu", 0.1).lasting(lambda: calls.append(torch.zeros(1000).sum().item()), 0.1)  # type: ignore[arg-type,func-returns-value]
    assert 0 < len(runs) < len(calls)


class Event:
    """CUDA's, of a card on which every call takes two microseconds."""

    calls = 0

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing

    def record(self) -> None:
        self.at = Event.calls

    def synchronize(self) -> None: ...

    def elapsed_time(self, other: Event) -> float:
        return (other.at - self.at) * 2e-3


def test_on_a_gpu_events_tell_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """In milliseconds, of all calls between them."""
    monkeypatch.setattr(torch.cuda, "Event", Event)

    def call() -> None:
        Event.calls += 1

    runs = Clock("cuda", 0.01).runs_of(call)
    assert len(runs) >= LEAST
    assert runs == pytest.approx([2e-6] * len(runs))


class Counters:
    held = 100 * MIB

    def device_bytes(self) -> int | None:
        Counters.held += 15 * MIB
        return Counters.held if self.tells else None

    tells = True


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """torch and the driver answer as on two cards, on which nothing is reserved; what is asked of them is noted."""
    order: list[str] = []
    used = iter(range(1000 * MIB, 2000 * MIB, 50 * MIB))
    monkeypatch.setattr(Counters, "held", 100 * MIB)
    monkeypatch.setattr(calibrate, "CudaCounters", Counters)
    monkeypatch.setattr(calibrate, "open_card", lambda: order.append("open"))
    monkeypatch.setattr(calibrate.driver, "device_used", lambda: next(used))
    monkeypatch.setattr(calibrate, "_anywhere", lambda *_: iter((figure("copy", "", "bytes/s", [1e12]),)))
    monkeypatch.setattr(calibrate, "from_host", lambda clock: figure("copy from host", clock.device, "bytes/s", [2e10]))
    monkeypatch.setattr(calibrate, "between", lambda count: figure("copy to peer", f"{count}", "bytes/s", [1e11]))
    for name in ("synchronize", "empty_cache"):
        monkeypatch.setattr(torch.cuda, name, lambda *_: None)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda *_: 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    return order


def on_gpu() -> dict[str, Any]:
    told = calibrate._on_gpu({"device": "cuda", "seconds": 0.01, "lasting": 0.01}, lambda _: None)
    return {one.what: one for one in told}


def test_a_gpus_context_and_links_are_read(card: list[str]) -> None:
    """What the process holds with nothing reserved: first alone, then with all kernels loaded; links come after."""
    found = on_gpu()
    assert card == ["open"]
    assert list(found) == ["copy", "context alone", "context", "copy from host", "copy to peer"]
    assert (found["context alone"].median, found["context"].median) == (115 * MIB, 130 * MIB)
    assert found["context"].of == "of this process, by NVML"


def test_where_the_driver_does_not_name_the_process_the_whole_card_is_read(
    card: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the difference from before; where that is no sum either, no context is told."""
    monkeypatch.setattr(Counters, "tells", False)
    found = on_gpu()
    assert (found["context alone"].median, found["context"].median) == (50 * MIB, 100 * MIB)
    assert found["context"].of.startswith("of the whole card")
    monkeypatch.setattr(calibrate.driver, "device_used", lambda: 7)
    assert {"context alone", "context"}.isdisjoint(on_gpu())


def test_a_gpu_that_torch_cannot_use_is_told(tmp_path: Path) -> None:
    """With what to do, before anything is measured."""
    orders = tmp_path / "orders.json"
    orders.write_text(json.dumps({"device": "cuda", "events": str(tmp_path / "events.jsonl")}))
    with pytest.raises(calibrate.BadInput, match="torch cannot use this machine's GPU"):
        calibrate.main(str(orders), str(tmp_path / "out.json"))


def test_old_cards_are_not_asked_for_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which torch would reckon in float32."""
    for capability, count in (((7, 5), 2), ((8, 0), 3)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_, said=capability: said)
        assert len(products.types_of("cuda")) == count
    assert products.types_of("cpu")[0] == torch.bfloat16


def test_a_device_that_is_slow_in_a_type_is_not_asked_for_its_large_products() -> None:
    """Which would take minutes; its small ones are told."""

    class Slow(Clock):
        """A billion operations a second."""

        def runs_of(self, call: Any) -> list[float]:
            rows = len(call())
            return [products.operations(next(shape for shape in products.SHAPES["cpu"] if shape[0] == rows)) / 1e9]

    timed = list(products.products(Slow("cpu", 0.0), lambda _: None))
    assert [one.shape for one in timed] == 3 * list(products.SHAPES["cpu"][:2])


def test_a_ring_is_as_slow_as_its_slowest_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three cards, the last one is reached through the host."""
    from finefit.worker.calibration import moving

    slow = {(1, 2): 0.5}
    monkeypatch.setattr(moving, "_seconds", lambda one, other: [slow.get((one, other), 0.1)] * 5)
    monkeypatch.setattr(torch.cuda, "can_device_access_peer", lambda one, other: (one, other) not in slow)
    found = moving.between(3)
    assert found.median == pytest.approx(moving.BYTES / 0.5)
    assert found.of.endswith("from GPU 1 to GPU 2, through the host")


def test_every_card_of_the_user_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A calibration asks about the ways between them, and only about those that may be seen."""
    from finefit.worker.__main__ import prepare

    for visible in ("2,3", None):
        environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
        monkeypatch.setattr("os.environ", environment)
        prepare({}, "cuda", several=True)
        assert environment.get("CUDA_VISIBLE_DEVICES") == visible
    prepare({}, "cpu", several=True)
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
