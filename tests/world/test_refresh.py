"""Prices through gpuhunt, over a small double of it."""

from __future__ import annotations

import logging
import socket
import sys
from dataclasses import dataclass, field
from datetime import date
from types import ModuleType
from typing import Any

import pytest

from finefit.errors import BadInput
from finefit.world.refresh import NAMES, refreshed, rows_of

TODAY = date(2026, 11, 21)


@dataclass
class Item:
    """The fields of gpuhunt.CatalogItem that are read."""

    provider: str
    instance_name: str
    location: str
    price: float
    gpu_count: int
    gpu_name: str
    gpu_memory: float
    spot: bool = False
    flags: list[str] = field(default_factory=list)


class Gpuhunt(ModuleType):
    """A catalogue of two offers, or one that fails."""

    items: tuple[Item, ...] = (Item("aws", "p5.48xlarge", "us-east-1", 50.0, 8, "H100", 80),)
    failure: Exception | None = None

    def Catalog(self, auto_reload: bool) -> Gpuhunt:
        assert not auto_reload  # it would load a second time
        return self

    def load(self) -> None:
        assert socket.getdefaulttimeout() is not None
        if self.failure is not None:
            logging.getLogger("gpuhunt.deep").error("a traceback for each provider")
            raise self.failure

    def query(self, **asked: Any) -> list[Item]:
        assert asked == {"min_gpu_count": 1, "gpu_vendor": "nvidia", "provider": sorted(NAMES)}
        return list(self.items)


@pytest.fixture
def gpuhunt(monkeypatch: pytest.MonkeyPatch) -> Gpuhunt:
    module = Gpuhunt("gpuhunt")
    monkeypatch.setitem(sys.modules, "gpuhunt", module)
    return module


def test_what_gpuhunt_offers_becomes_rows_of_today(gpuhunt: Gpuhunt) -> None:
    """By our names of providers and cards."""
    (row,) = refreshed(TODAY)
    assert (row.provider, row.gpu, row.count, row.kind) == ("AWS", "H100 SXM5 80GB", 8, "on_demand")
    assert (row.usd_per_machine_hour, row.instance, row.region, row.date) == (
        50,
        "p5.48xlarge",
        "us-east-1",
        "2026-11-21",
    )
    assert row.source.startswith("gpuhunt ")


@pytest.mark.parametrize(
    ("item", "card", "kind"),
    [
        (Item("aws", "p4d.24xlarge", "r", 1, 8, "A100", 40), "A100 SXM4 40GB", "on_demand"),
        (Item("aws", "g5.xlarge", "r", 1, 1, "A10G", 24, spot=True), "A10G (AWS g5)", "spot"),
        (Item("azure", "Standard_NC24ads_A100_v4", "r", 1, 1, "A100", 80), "A100 PCIe 80GB", "on_demand"),
        (Item("azure", "Standard_ND96amsr_A100_v4", "r", 1, 8, "A100", 80), "A100 SXM4 80GB", "on_demand"),
        (Item("azure", "Standard_NC40ads_H100_v5", "r", 1, 1, "H100NVL", 94), "H100 NVL 94GB", "on_demand"),
        (Item("azure", "Standard_NC4as_T4_v3", "r", 1, 1, "T4", 16), "Tesla T4", "on_demand"),
        (Item("lambdalabs", "gpu_1x_h100_pcie", "r", 1, 1, "H100", 80), "H100 PCIe 80GB", "on_demand"),
        (Item("runpod", "NVIDIA A100 80GB PCIe", "US-CA-1", 1, 1, "A100", 80), "A100 PCIe 80GB", "on_demand"),
        (Item("runpod", "NVIDIA GeForce RTX 4090", "FR", 1, 2, "RTX4090", 24), "GeForce RTX 4090", "community"),
        (Item("gcp", "g4", "r", 1, 1, "RTXPRO6000", 96), "RTX PRO 6000 Blackwell 96GB", "on_demand"),
    ],
)
def test_the_card_is_told_by_what_the_offer_says(item: Item, card: str, kind: str) -> None:
    """The form factor too, where a card comes in two."""
    (row,) = rows_of([item], TODAY, "gpuhunt")
    assert (row.gpu, row.kind) == (card, kind)


def test_what_cannot_be_planned_for_is_left_out() -> None:
    """Cards that we do not know, offers of several machines, and what costs nothing."""
    unknown = Item("lambdalabs", "gpu_1x_rtx6000", "r", 1, 1, "RTX6000", 24)
    cluster = Item("runpod", "NVIDIA H100 80GB HBM3", "US-CA-1", 9, 8, "H100", 80, flags=["runpod-cluster"])
    nothing = Item("aws", "p5.48xlarge", "r", 0, 8, "H100", 80)
    assert rows_of([unknown, cluster, nothing], TODAY, "gpuhunt") == ()


def test_of_all_regions_the_cheapest_is_kept() -> None:
    """Whatever the order."""
    items = [Item("aws", "p5.48xlarge", region, usd, 8, "H100", 80) for region, usd in (("b", 2), ("c", 3), ("a", 2))]
    for order in (items, items[::-1]):
        (row,) = rows_of(order, TODAY, "gpuhunt")
        assert (row.usd_per_machine_hour, row.region) == (2, "a")


def test_without_gpuhunt_there_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """That says how to get it."""
    monkeypatch.setitem(sys.modules, "gpuhunt", None)
    with pytest.raises(BadInput, match=r"not installed\n.*pip install 'finefit\[prices\]'"):
        refreshed(TODAY)


def test_offline_there_is_one_message_and_no_log(gpuhunt: Gpuhunt, caplog: pytest.LogCaptureFixture) -> None:
    """With gpuhunt's reason; what was set for it is set back."""
    gpuhunt.failure = OSError("Name or service not known\nmore")
    with pytest.raises(BadInput, match="no prices came through gpuhunt\n    why: Name or service not known\n"):
        refreshed(TODAY)
    assert caplog.records == []
    assert (socket.getdefaulttimeout(), logging.root.manager.disable) == (None, 0)
    gpuhunt.failure, gpuhunt.items = None, ()
    with pytest.raises(BadInput, match="its catalogues are empty"):
        refreshed(TODAY)
