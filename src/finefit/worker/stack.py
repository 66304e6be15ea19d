"""Versions of the libraries that decide what a training step allocates."""

from __future__ import annotations

from importlib.metadata import version

LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "bitsandbytes")


def versions() -> dict[str, str]:
    return {name: version(name) for name in LIBRARIES}
