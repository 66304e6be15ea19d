"""DeepSpeed on a processor without compiling its shared-memory collectives: they go over gloo.

deepspeed 0.19  comm/torch.py builds `deepspeed_shm_comm` with a C++ compiler, for 70 seconds, where it is said to be
                compatible. Ends with a version that falls back to gloo by itself.
"""

from __future__ import annotations


def over_gloo() -> None:
    """Call it before anything else of DeepSpeed; makes the process group too, which ZeRO 3 needs as a model loads."""
    import deepspeed.ops

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed("gloo")
