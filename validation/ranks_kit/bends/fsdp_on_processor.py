"""accelerate shards with FSDP2 on processors too; by itself it makes DDP of it without a word.

accelerate 1.15  state.py: AcceleratorState.__init__ takes an `fsdp_plugin` only where there is an accelerator
                 (MULTI_CPU is left out). Ends with a version that raises there or shards; `one_rank` asserts the class.
"""

from __future__ import annotations

from typing import Any

from accelerate.state import AcceleratorState, DistributedType


def shard_on_processors() -> None:
    made = AcceleratorState.__init__

    def make(self: Any, *args: Any, **words: Any) -> None:
        made(self, *args, **words)
        plugin = words.get("fsdp_plugin") or self.__dict__.get("fsdp_plugin")  # every later one is made anew
        if plugin is not None and self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.FSDP
            if self._mixed_precision != "no":
                plugin.set_mixed_precision(self._mixed_precision)
            self.fsdp_plugin = plugin

    AcceleratorState.__init__ = make  # type: ignore[method-assign]
