"""What the driver says of the first GPU that this process may see, asked before and beside torch.

Knows: bytes in use on the whole card, its name and the driver's version.
Does not know: which of these bytes are this process's (`allocator_stage` asks torch's card for them); cards behind a
driver that NVML cannot reach, of which every answer is None.
"""

from __future__ import annotations

import os
from typing import Any


def device_used() -> int | None:
    """Of all processes together, with what the driver keeps for itself; asking opens no CUDA context."""
    return _asked(lambda nvml, handle: nvml.nvmlDeviceGetMemoryInfo(handle).used)


def facts() -> dict[str, Any]:
    return {
        "driver": _asked(lambda nvml, _: str(nvml.nvmlSystemGetDriverVersion())),
        "gpu": _asked(lambda nvml, handle: str(nvml.nvmlDeviceGetName(handle))),
        "total_bytes": _asked(lambda nvml, handle: nvml.nvmlDeviceGetMemoryInfo(handle).total),
    }


def _asked(question: Any) -> Any:
    try:
        import pynvml

        pynvml.nvmlInit()
        return question(pynvml, _handle(pynvml))
    except Exception:  # no library, no driver, no card, or a question that this card does not answer
        return None


def _handle(nvml: Any) -> Any:
    """CUDA_VISIBLE_DEVICES names cards by number or by UUID."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    return nvml.nvmlDeviceGetHandleByIndex(int(first)) if first.isdigit() else nvml.nvmlDeviceGetHandleByUUID(first)
