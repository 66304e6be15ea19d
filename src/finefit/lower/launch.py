"""What starts a plan's script on one node or many: torchrun by hand, Slurm, SkyPilot, dstack; each as text.

    SkyPilot 0.14    docs, reference/yaml-spec; sky/utils/schemas.py: `accelerators`; SKYPILOT_NODE_IPS and its like
    dstack 01fda0fc  core/models/configurations.py: TaskConfiguration and its bases; DSTACK_NODES_NUM and its like
    Slurm            sbatch(1), srun(1): its options, SLURM_NNODES, SLURM_NODEID

Knows: the engine is said in the script, so torchrun is enough. Does not know: what a cluster or cloud wants besides
(account, partition, region, storage): rows and weights must lie where the script names them, on every node.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal, assert_never, get_args

from finefit.nouns.engine import DeepSpeed, Engine
from finefit.nouns.machine import Gpu

from .accelerate import SCRIPT

Target = Literal["torchrun", "slurm", "skypilot", "dstack"]
TARGETS: tuple[Target, ...] = get_args(Target)
NAMES: Mapping[Target, tuple[str, str]] = {
    "torchrun": ("torchrun.sh", "bash torchrun.sh"),
    "slurm": ("slurm.sbatch", "sbatch slurm.sbatch"),
    "skypilot": ("sky.yaml", "sky launch sky.yaml"),
    "dstack": ("finefit.dstack.yml", "dstack apply -f finefit.dstack.yml"),
}
"""The file, and the line that hands it over, in its folder."""

TRAIN = (
    *("torch>=2.6,<2.14", "transformers>=5.17,<5.24", "trl>=1.16,<1.17", "peft>=0.19,<0.22", "accelerate>=1.12,<1.16"),
    *("datasets>=4.5,<5.3", "safetensors>=0.5", "bitsandbytes>=0.49", "pillow>=11"),
)
"""What a script imports: the extra `train`."""
DEEPSPEED = "deepspeed>=0.19,<0.20"
PORT = 29500
"""torchrun's own default."""
OPENING = "# Written by finefit. Rows and weights must lie where train.py names them, on every node."
FORM_FACTOR = re.compile(r"\s+(SXM|PCIe|NVL|\d+GB|\().*")
BY_MEMORY = ("A100", "V100")
"""SkyPilot tells two sizes of these apart; the smaller has the plain name."""
LARGER = ("80GB", "32GB")


def launch_file(to: Target, gpu: Gpu, engine: Engine | None, each: int, nodes: int) -> str:
    """`each`: GPUs of a node."""
    match to:
        case "torchrun":
            return _torchrun(each, nodes)
        case "slurm":
            return _slurm(each, nodes)
        case "skypilot":
            return _yaml(_skypilot(gpu, engine, each, nodes))
        case "dstack":
            return _yaml(_dstack(gpu, engine, each, nodes))
        case _:
            assert_never(to)


def _start(nodes: str, each: str, rank: str, first: str) -> str:
    there = f"--nnodes {nodes} --nproc_per_node {each} --node_rank {rank} --master_addr {first}"
    return f"torchrun {there} --master_port {PORT} {SCRIPT}"


def _torchrun(each: int, nodes: int) -> str:
    said = (
        "" if nodes == 1 else f"# On each of {nodes} nodes: NODE_RANK is 0 to {nodes - 1}, MASTER_ADDR the first one.\n"
    )
    start = _start(str(nodes), str(each), '"${NODE_RANK:-0}"', '"${MASTER_ADDR:-localhost}"')
    return f'#!/bin/bash\n{OPENING}\n{said}set -eu\ncd "$(dirname "$0")"\n{start}\n'


def _slurm(each: int, nodes: int) -> str:
    options = {
        "job-name": "finefit",
        "nodes": nodes,
        "ntasks-per-node": 1,
        "gpus-per-node": each,
        "output": "slurm-%j.out",
    }
    lines = "\n".join(f"#SBATCH --{name}={value}" for name, value in options.items())
    start = _start('"$SLURM_NNODES"', str(each), '"$SLURM_NODEID"', '"$MASTER_ADDR"')
    return (
        f"#!/bin/bash\n{lines}\n{OPENING}\n# Add what your cluster asks for: --partition, --account, --time, "
        '--cpus-per-task.\nset -eu\nMASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)\n'
        f"export MASTER_ADDR\nsrun bash -c '{start}'\n"
    )


def _skypilot(gpu: Gpu, engine: Engine | None, each: int, nodes: int) -> dict[str, Any]:
    start = _start('"$SKYPILOT_NUM_NODES"', '"$SKYPILOT_NUM_GPUS_PER_NODE"', '"$SKYPILOT_NODE_RANK"', '"$MASTER_ADDR"')
    return {
        "name": "finefit",
        "workdir": ".",
        "num_nodes": nodes,
        "resources": {"accelerators": f"{_skypilots_name(gpu)}:{each}"},
        "setup": _install(engine) + "\n",
        "run": f'MASTER_ADDR=$(echo "$SKYPILOT_NODE_IPS" | head -n 1)\n{start}\n',
    }


def _dstack(gpu: Gpu, engine: Engine | None, each: int, nodes: int) -> dict[str, Any]:
    memory = re.search(r"\d+GB", gpu.name)
    card = ":".join([_plain_name(gpu), *([memory[0]] if memory else []), str(each)])
    start = _start("$DSTACK_NODES_NUM", "$DSTACK_GPUS_PER_NODE", "$DSTACK_NODE_RANK", "$DSTACK_MASTER_NODE_IP")
    return {
        "type": "task",
        "name": "finefit",
        "nodes": nodes,
        "python": "3.12",
        "files": [".:/finefit"],
        "working_dir": "/finefit",
        "commands": [_install(engine), start],
        "resources": {"gpu": card},
    }


def _install(engine: Engine | None) -> str:
    wanted = (*TRAIN, *((DEEPSPEED,) if isinstance(engine, DeepSpeed) else ()))
    return "pip install " + " ".join(json.dumps(one) for one in wanted)


def _plain_name(gpu: Gpu) -> str:
    """`GeForce RTX 4090` is RTX4090, `H100 SXM5 80GB` is H100."""
    short = FORM_FACTOR.sub("", gpu.name.removeprefix("GeForce ").removeprefix("Tesla "))
    return short.replace("RTX A", "A").replace(" ", "")


def _skypilots_name(gpu: Gpu) -> str:
    name = _plain_name(gpu)
    size = next((size for size in LARGER if size in gpu.name), None) if name in BY_MEMORY else None
    return f"{name}-{size}" if size else name


def _yaml(words: dict[str, Any]) -> str:
    import yaml

    return OPENING + "\n" + yaml.safe_dump(words, sort_keys=False, width=1000)
