"""Which attention a kind of model has in transformers."""

from __future__ import annotations

WITHOUT_SDPA = frozenset(
    {
        "bloom", "codegen", "cpmant", "deepseek_v4", "gemma2", "gpt_neo", "gpt_oss", "gptj", "granite_swa",
        "granitemoe_swa", "mimo_v2_flash", "mpt", "vaultgemma", "xglm",
    }
)  # fmt: skip
"""Model types whose `modeling_*.py` does not set `_supports_sdpa = True` (transformers 5.23), most of them because the
scores are capped or have a sink: eager attention is what they run by default."""
