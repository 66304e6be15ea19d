"""Writes docs/guides: one hardware guide for each system that a hand-written guide was once written of.

    python docs/guides.py [NAME …]

Recipes that no shipped tape knows are rehearsed once and cached: some minutes the first time, on a processor.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "guides"
GUIDES: dict[str, tuple[str, ...]] = {
    "llama-3.2-3b-full": (
        "meta-llama/Llama-3.2-3B-Instruct", "--method", "full", "--per-device-train-batch-size", "8",
        "--max-length", "2048", "--rows", "1000", "--num-train-epochs", "50", "--gpu",
        "2xH200-SXM,2xH100-80GB,2xA100-80GB,2xRTX5090,2xRTX4090,2xRTX3090,2xRTX4080,2xRTX3080-10GB,2xRTX2080Ti",
    ),
    "llama-2-7b-question-answering": (
        "meta-llama/Llama-2-7b-hf", "--method", "lora", "--per-device-train-batch-size", "4", "--max-length", "512",
        "--gpu", "RTX3090,RTX4090,A6000,2xV100-32GB,2xA100-40GB,A100-80GB",
    ),
    "qwen2-vl-2b-deepspeed": (
        "Qwen/Qwen2-VL-2B-Instruct", "--method", "lora", "--image-size", "1024x1024", "--max-length", "2048",
        "--per-device-train-batch-size", "1", "--global-batch-size", "16", "--gpu",
        "2xRTX4060Ti-16GB,2xRTX4070,2xRTX4080,2xRTX4090,4xRTX4090,2xRTX5070,2xRTX5080,2xRTX5090,2xA100-40GB,2xH100-80GB",
    ),
    "llama-3-8b-qlora-dpo": (
        "meta-llama/Llama-3.1-8B-Instruct", "--method", "qlora4", "--max-length", "1024", "--gpu",
        "T4,RTX3070,RTX3060-12GB,RTX3090,RTX4090,A100-40GB,A100-80GB",
    ),
    "llama-3-70b-qlora-dpo": (
        "meta-llama/Llama-3.1-70B-Instruct", "--method", "qlora4", "--max-length", "1024", "--gpu",
        "A100-40GB,A6000,A100-80GB,H100-80GB,H200-SXM", "--quick",
    ),
    "deepseek-r1-distill-qwen-1.5b-qlora": (
        "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "--method", "qlora4", "--lora-r", "32", "--lora-alpha", "64",
        "--per-device-train-batch-size", "8", "--gradient-accumulation-steps", "8", "--max-length", "512", "--gpu",
        "RTX3070,RTX3080-10GB,RTX3060-12GB,RTX3090,RTX4090,A100-40GB",
    ),
}  # fmt: skip
"""By the name of the file: what `finefit guide` is asked."""


def main() -> int:
    os.environ["FINEFIT_CALIBRATION"] = "off"  # the catalogue's cards, not this machine's own
    FOLDER.mkdir(exist_ok=True)
    for name in sys.argv[1:] or GUIDES:
        page = FOLDER / f"{name}.md"
        done = subprocess.run([sys.executable, "-m", "finefit", "guide", *GUIDES[name], "-o", page])
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
