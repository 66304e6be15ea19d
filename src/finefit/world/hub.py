"""Configurations from the Hugging Face hub: what is in the local cache, else one small download.

Goes online only for a config.json, and never when HF_HUB_OFFLINE or a variable like it says so. Rows are asked for in
hub_data.py, and a model is given away in api/pushing.py.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
CONFIG = "config.json"
CONNECT_SECONDS = 5.0
"""How long to wait for an answer at all; huggingface_hub's own retries take 23 s where there is no network."""


class NotReachable(Exception):
    """Why there is no configuration, in one sentence."""


def is_offline() -> str:
    """The variable that forbids to go online, or nothing."""
    on = {"1", "ON", "YES", "TRUE"}
    return next((name for name in OFFLINE_VARIABLES if os.environ.get(name, "").upper() in on), "")


def cached_config(repo: str) -> Path | None:
    found = _cached(repo, CONFIG)
    return Path(found) if found else None


def snapshot_here(repo: str) -> Path | None:
    """The folder of the hub's cache that holds this model's tokenizer or weights, if any."""
    for name in ("tokenizer.json", "model.safetensors", "model.safetensors.index.json"):
        found = _cached(repo, name)
        if found:
            return Path(found).parent
    return None


def downloaded_config(repo: str) -> Path:
    variable = is_offline()
    if variable:
        raise NotReachable(f"neither bundled nor in the hub's cache, and {variable} is set")
    try:
        knock()
    except NotReachable as error:
        raise NotReachable(f"neither bundled nor in the hub's cache, and {error}") from None
    try:
        import huggingface_hub
    except ImportError:
        raise NotReachable(
            "not bundled, and huggingface_hub is not installed (`pip install 'finefit[train]'`)"
        ) from None
    try:
        return Path(huggingface_hub.hf_hub_download(repo, CONFIG))
    except Exception as error:  # its tree of errors, and that of its HTTP library, differ by version
        raise NotReachable(f"not bundled, and the hub gave none: {first_line(error)}") from None


def knock() -> None:
    """Fails at once where the hub cannot be reached. Behind a proxy only the proxy could tell."""
    from urllib.request import getproxies

    if getproxies().get("https"):
        return
    address = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        socket.create_connection((address.hostname or "", port), CONNECT_SECONDS).close()
    except OSError as error:
        raise NotReachable(f"{address.hostname} says nothing: {error}") from None


def _cached(repo: str, name: str) -> str | None:
    try:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(repo, name)
    except (ImportError, ValueError):  # not installed; no valid id
        return None
    return found if isinstance(found, str) else None


def first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
