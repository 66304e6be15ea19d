"""Versions of the libraries that decide what a training step allocates."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "bitsandbytes")


def versions(orders: dict[str, Any]) -> dict[str, str]:
    optional = ("liger-kernel",) if orders["trainer"].get("use_liger_kernel") else ()
    return {name: version(name) for name in (*LIBRARIES, *optional)}
