"""Which attention a kind of model has in transformers."""

from __future__ import annotations

APART = frozenset(
    {
        "arcee", "codegen", "cohere", "cohere2", "ernie4_5", "exaone4", "gemma", "gemma2", "gemma3_text", "glm", "glm4",
        "gpt2", "gpt_bigcode", "gpt_neox", "gptj", "granite", "granitemoe", "llama", "mistral", "mixtral", "nemotron",
        "olmo", "olmo2", "olmo3", "olmoe", "persimmon", "phi", "phi3", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe",
        "seed_oss", "smollm3", "stablelm", "starcoder2",
    }
)  # fmt: skip
"""Model types in which rows that share a sequence do not see each other: the logits are those of each row alone, with
eager attention and, where there is one, sdpa (tried with transformers 5.23 and what TRL 1.16 hands over,
`tests/worker/test_packing.py`). In bloom, falcon, mpt and opt they do see each other: these make masks of their own."""

WITHOUT_SDPA = frozenset(
    {
        "bloom", "codegen", "cpmant", "deepseek_v4", "gemma2", "gpt_neo", "gpt_oss", "gptj", "granite_swa",
        "granitemoe_swa", "mimo_v2_flash", "mpt", "vaultgemma", "xglm",
    }
)  # fmt: skip
"""Model types whose `modeling_*.py` does not set `_supports_sdpa = True` (transformers 5.23), most of them because the
scores are capped or have a sink: eager attention is what they run by default."""
