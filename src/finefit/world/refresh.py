"""Today's prices, through gpuhunt (the extra `prices`), which reads the catalogues that its makers publish.

Knows: the providers whose catalogues gpuhunt publishes: AWS, Azure, CloudRift, Google, Lambda, Nebius, Oracle, RunPod,
Verda; of each card the cheapest region. RunPod's offers in a country are its community cloud, those in a data centre
its secure cloud.
Does not know: providers that gpuhunt asks at their own address (Vast.ai and others); CoreWeave, Colab and Kaggle, which
it lacks. The shipped prices of these stay.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

from finefit.catalog.gpus import gpu_named
from finefit.errors import BadInput, Problem
from finefit.nouns.offer import Kind, Price

NAMES = {
    "aws": "AWS",
    "azure": "Azure",
    "cloudrift": "CloudRift",
    "gcp": "Google",
    "lambdalabs": "Lambda",
    "nebius": "Nebius",
    "oci": "Oracle",
    "runpod": "RunPod",
    "verda": "Verda",
}
"""Providers as gpuhunt calls them, and as our list does."""

FORMS = {"H100NVL": "H100 NVL", "H200NVL": "H200 NVL"}
"""gpuhunt's names of cards that run the form factor into the card."""

ANSWER_SECONDS = 20.0
"""gpuhunt opens its addresses without a limit."""

HINT = "name your own prices in a file (FINEFIT_PRICES), or go on with the shipped ones: leave out --refresh"


def refreshed(today: date) -> tuple[Price, ...]:
    """Of each provider's card, number and kind the cheapest, dated."""
    gpuhunt = _gpuhunt()
    with _quiet_and_limited():
        try:
            catalog = gpuhunt.Catalog(auto_reload=False)
            catalog.load()
            items = catalog.query(min_gpu_count=1, gpu_vendor="nvidia", provider=sorted(NAMES))
        except Exception as error:  # urllib's, the file's and its own errors, which differ by version
            raise BadInput(
                Problem("no prices came through gpuhunt", why=_first_line(error) or type(error).__name__, hint=HINT)
            ) from None
    found = rows_of(items, today, f"gpuhunt {_version()}")
    if not found:
        raise BadInput(Problem("no prices came through gpuhunt", why="its catalogues are empty", hint=HINT))
    return found


def rows_of(items: Iterable[Any], today: date, source: str) -> tuple[Price, ...]:
    best: dict[tuple[str, str, int, Kind], Price] = {}
    for item in items:
        row = _row(item, today, source)
        if row is None:
            continue
        key = (row.provider, row.gpu, row.count, row.kind)
        if key not in best or _rank(row) < _rank(best[key]):
            best[key] = row
    return tuple(best[key] for key in sorted(best))


def _rank(row: Price) -> tuple[float, str, str]:
    return row.usd_per_machine_hour, row.instance, row.region


def _row(item: Any, today: date, source: str) -> Price | None:
    """None where the card is not in the catalogue, or the offer is of several machines."""
    card = _card(item)
    if card is None or item.price <= 0 or any("cluster" in flag for flag in item.flags):
        return None
    return Price(
        provider=NAMES.get(item.provider, item.provider),
        gpu=card,
        count=item.gpu_count,
        up_to=item.gpu_count,
        kind=_kind(item),
        usd_per_machine_hour=round(float(item.price), 4),
        instance="" if item.provider == "runpod" else item.instance_name,  # there it is the card's name
        region=item.location,
        date=today.isoformat(),
        confidence="high",
        source=source,
        note="",
    )


def _kind(item: Any) -> Kind:
    if item.spot:
        return "spot"
    return "community" if item.provider == "runpod" and len(item.location) == 2 else "on_demand"


def _card(item: Any) -> str | None:
    try:
        return gpu_named(_name(item)).name
    except BadInput:
        return None


def _name(item: Any) -> str:
    if item.provider == "runpod":
        return str(item.instance_name)  # as the driver names the card
    name = FORMS.get(item.gpu_name, item.gpu_name)
    return f"{name} {_form(item)} {item.gpu_memory or 0:.0f}GB"


def _form(item: Any) -> str:
    """Cards with much memory come in two forms; clouds rent out SXM unless they say otherwise."""
    is_pcie = "pcie" in item.instance_name.lower() or (item.provider, item.instance_name[:11]) == (
        "azure",
        "Standard_NC",
    )
    return "PCIe" if is_pcie and item.gpu_name in ("A100", "H100", "V100") else ""


def _gpuhunt() -> Any:
    try:
        import gpuhunt
    except ImportError:
        hint = f"pip install 'finefit[prices]'; or {HINT}"
        raise BadInput(Problem("prices are refreshed through gpuhunt, which is not installed", hint=hint)) from None
    return gpuhunt


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("gpuhunt")
    except PackageNotFoundError:
        return "of no version"


@contextmanager
def _quiet_and_limited() -> Iterator[None]:
    """gpuhunt logs a traceback for every provider that does not answer; ours is one message."""
    level, seconds = logging.root.manager.disable, socket.getdefaulttimeout()
    logging.disable(logging.CRITICAL)
    socket.setdefaulttimeout(ANSWER_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(seconds)
        logging.disable(level)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")
