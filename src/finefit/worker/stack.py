"""Versions of the libraries that decide what a training step allocates."""

from __future__ import annotations

from typing import Any

from finefit.catalog.libraries import LIBRARIES, installed


def versions(orders: dict[str, Any]) -> dict[str, str]:
    optional = ("liger-kernel",) if orders["trainer"].get("use_liger_kernel") else ()
    engine = ("deepspeed",) if orders.get("engine", {}).get("name") == "deepspeed" else ()
    return installed((*LIBRARIES, *optional, *engine))
