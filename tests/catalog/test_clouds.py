"""Machines of the clouds."""

from __future__ import annotations

import pytest

from finefit.catalog.clouds import machines_with, rows
from finefit.catalog.gpus import gpu_named
from finefit.catalog.prices import shipped

PLAUSIBLE_GIB_PER_CPU = (1, 30)
"""From RunPod's pods to servers with much memory; a slip of a column is outside."""


def test_every_machine_is_of_a_card_that_we_know_and_has_a_source() -> None:
    """What is not known is empty, and no figure is impossible."""
    for row in rows():
        machine = row.machine
        assert gpu_named(machine.gpu).name == machine.gpu
        assert machine.source.strip(), machine
        assert row.up_to % machine.count == 0
        figures = (machine.vcpus, machine.host_ram_gib, machine.local_disk_gb, machine.network_gbps)
        assert all(figure is None or figure > 0 for figure in figures), machine
        if machine.vcpus and machine.host_ram_gib:
            least, most = PLAUSIBLE_GIB_PER_CPU
            assert least <= machine.host_ram_gib / machine.vcpus <= most, machine


def test_one_gpu_has_no_link_and_several_have_one() -> None:
    """`none` is of one GPU alone; where the link of several is not known it is not named."""
    for card in {row.machine.gpu for row in rows()}:
        assert {machine.link for machine in machines_with(card, 1)} <= {"none"}
        for count in (2, 4, 8):
            assert all(machine.link != "none" for machine in machines_with(card, count))


def test_no_instance_is_there_twice() -> None:
    """A name is one machine."""
    names = [(row.machine.provider, row.machine.instance) for row in rows() if row.machine.instance]
    assert len(names) == len(set(names))


def test_an_instance_with_a_price_is_that_machine() -> None:
    """The two lists agree on the card and on how many; Kaggle's single P100 alone has no known host."""
    machines = {(row.machine.provider, row.machine.instance): row.machine for row in rows()}
    missing = set()
    for price in shipped():
        if not price.instance:
            continue
        machine = machines.get((price.provider, price.instance))
        if machine is None:
            missing.add((price.provider, price.instance))
        else:
            assert (machine.gpu, machine.count) == (price.gpu, price.count), price
    assert missing == {("Kaggle", "P100")}


@pytest.mark.parametrize(
    ("card", "count", "provider", "instance"),
    [
        ("A100-40GB", 8, "AWS", "p4d.24xlarge"),
        ("A100-80GB", 8, "AWS", "p4de.24xlarge"),
        ("H100-80GB", 8, "AWS", "p5.48xlarge"),
        ("H200", 8, "AWS", "p5e.48xlarge"),
        ("A10G", 4, "AWS", "g5.12xlarge"),
        ("L4", 1, "AWS", "g6.xlarge"),
        ("L40S", 8, "AWS", "g6e.48xlarge"),
        ("A100-40GB", 1, "Google", "a2-highgpu-1g"),
        ("H100-80GB", 8, "Google", "a3-megagpu-8g"),
        ("H100-NVL", 2, "Azure", "Standard_NC80adis_H100_v5"),
        ("A100-80GB", 8, "Azure", "Standard_ND96amsr_A100_v4"),
        ("B200", 8, "CoreWeave", ""),
        ("GH200", 1, "Lambda", "gpu_1x_gh200"),
    ],
)
def test_the_machines_that_people_name_are_found(card: str, count: int, provider: str, instance: str) -> None:
    """By their card and how many; nothing with another number answers."""
    found = machines_with(card, count)
    assert (provider, instance) in {(machine.provider, machine.instance) for machine in found}
    assert {machine.count for machine in found} == {count}


def test_what_is_sold_by_the_card_has_its_share_of_the_host() -> None:
    """Twice the cards, twice the processors and memory."""
    one, two = (next(m for m in machines_with("RTX 4090", n) if m.provider == "RunPod") for n in (1, 2))
    assert one.vcpus is not None
    assert one.host_ram_gib is not None
    assert (two.vcpus, two.host_ram_gib) == (2 * one.vcpus, 2 * one.host_ram_gib)
    assert (one.link, two.link) == ("none", "pcie")
