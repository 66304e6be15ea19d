"""transformers takes another road when it meets a fake tensor: it keeps a 4-D mask that a real run drops.

`transformers.utils.import_utils.is_tracing` counts fake tensors as tracing (seen in 5.17 to 5.23), because it cannot
read their values. In a rehearsal control tensors have values (`shadow.py`), so the road of a real run is right.
Ends when `is_tracing` no longer asks for the tensor's class.
"""

from __future__ import annotations

from transformers.utils import import_utils


def fake_tensors_are_not_tracing() -> None:
    import_utils.is_fake_tensor = lambda _: False
