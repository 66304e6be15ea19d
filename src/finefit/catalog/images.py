"""From an image's size to patches and tokens, by each model's own processor, without any library.

Knows: the families in `PROCESSORS`, as transformers 5.23 processes them (models/*/image_processing_*.py,
processing_*.py); limits on pixels as the released checkpoints' preprocessor_config.json have them, which are no part of
config.json, or as a model's own folder has them (`said`). Does not know: limits that are set elsewhere; videos. Each
image is processed for itself, so rows with several sizes are made of these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from finefit.nouns.images import Entry, Images, Shown, Size

Config = Mapping[str, Any]

CHANNELS = 3


def shown(config: Config, images: Images, said: Config = MappingProxyType({})) -> Shown | None:
    """What a row's images become; None for a model that is not known to see. `said`: what its folder says of how its
    processor does it."""
    processor = PROCESSORS.get(config.get("model_type", ""))
    return None if processor is None else processor(config, images, said)


def refused(config: Config, size: Size) -> str:
    """Why a model's processor takes no image of this size; empty where it takes it."""
    if config.get("model_type") in PIXELS and max(size) > NARROWEST * min(size):
        return f"one side is more than {NARROWEST} times the other, which its processor refuses"
    return ""


def patches_of(config: Config, known: Shown) -> int:
    """That a tower reads of one row."""
    shape = known.entries["pixel_values"].shape
    if "image_grid_thw" in known.entries:
        return shape[0]
    side = int(config["vision_config"]["patch_size"])
    return math.prod(shape[:-3]) * (shape[-2] // side) * (shape[-1] // side)


# Qwen2-VL, Qwen2.5-VL, Qwen3-VL

NARROWEST = 200
"""Times that a side may be as long as the other. Source: image_processing_qwen2_vl.py, `smart_resize`."""

PIXELS = {
    "qwen2_vl": (56 * 56, 28 * 28 * 16384),
    "qwen2_5_vl": (56 * 56, 28 * 28 * 16384),
    "qwen3_vl": (256 * 256, 4096 * 4096),
}
"""The fewest and the most of an image. Source: preprocessor_config.json of Qwen/Qwen2-VL-2B-Instruct and
Qwen/Qwen2.5-VL-3B-Instruct (min_pixels 3136, max_pixels 12845056), and of Qwen/Qwen3-VL-2B-Instruct (shortest_edge
65536, longest_edge 16777216)."""
QWEN_TEMPORAL = 2
"""An image counts as a film of so many equal pictures: temporal_patch_size."""


def _limits(config: Config, said: Config) -> tuple[int, int]:
    """The fewest and the most pixels; `min_pixels` and `max_pixels` count before `size`."""
    size = said.get("size") or {}
    fewest, most = PIXELS[config["model_type"]]
    return (
        said.get("min_pixels") or size.get("shortest_edge") or fewest,
        said.get("max_pixels") or size.get("longest_edge") or most,
    )


def _qwen(config: Config, images: Images, said: Config) -> Shown:
    vision = config["vision_config"]
    patch, merge = vision.get("patch_size", 16 if config["model_type"] == "qwen3_vl" else 14), _merge(vision)
    width, height = smart_resize(images.width, images.height, patch * merge, *_limits(config, said))
    grid = (1, height // patch, width // patch)
    patches = grid[1] * grid[2]
    cells = CHANNELS * vision.get("temporal_patch_size", QWEN_TEMPORAL) * patch * patch
    return Shown(
        token=config.get("image_token_id", 151655),
        runs=(patches // merge**2,) * images.count,
        entries={
            "pixel_values": Entry((images.count * patches, cells), "float32"),
            "image_grid_thw": Entry((images.count, 3), "int64", (grid,) * images.count),
        },
        has_types=True,
    )


def _merge(vision: Config) -> int:
    return int(vision.get("spatial_merge_size", 2))


def smart_resize(width: int, height: int, factor: int, fewest: int, most: int) -> tuple[int, int]:
    """To multiples of `factor` on both sides, and so many pixels. Source: image_processing_qwen2_vl.py, `smart_resize`
    (height first there); rounds half to even, as Python does."""
    sides = [round(side / factor) * factor for side in (width, height)]
    if math.prod(sides) > most:
        scale = math.sqrt(width * height / most)
        sides = [max(factor, math.floor(side / scale / factor) * factor) for side in (width, height)]
    elif math.prod(sides) < fewest:
        scale = math.sqrt(fewest / (width * height))
        sides = [math.ceil(side * scale / factor) * factor for side in (width, height)]
    return sides[0], sides[1]


# Idefics3, SmolVLM

TILES = 4
"""An image's longer side becomes so many tiles. Source: preprocessor_config.json of HuggingFaceTB/SmolVLM-Instruct
(size 1536, max_image_size 384) and HuggingFaceTB/SmolVLM2-256M-Video-Instruct (2048, 512); a tile has the size that the
tower is built for."""


def _idefics3(config: Config, images: Images, said: Config) -> Shown:
    """Every tile alone and the whole image in the size of one. The first resizing is undone by the second but for
    rounding, which may add a row of tiles."""
    vision = config["vision_config"]
    tile, patch = vision["image_size"], vision["patch_size"]
    is_whole = not said.get("do_image_splitting", True)
    columns, rows = (0, 0) if is_whole else _tiles(images.width, images.height, tile, _times(said))
    tiles = columns * rows + 1
    return Shown(
        token=config["image_token_id"],
        runs=((tile // patch) ** 2 // config.get("scale_factor", 2) ** 2,) * (tiles * images.count),
        entries={
            "pixel_values": Entry((1, images.count * tiles, CHANNELS, tile, tile), "float32", along=1),
            "pixel_attention_mask": Entry((1, images.count * tiles, tile, tile), "int64", along=1),
        },
        around=images.count * _marks(columns, rows),
    )


def _marks(columns: int, rows: int) -> int:
    """Before every tile its start and its place, after each row of tiles a line's end; around the whole image its
    start, its name, and an end. Source: processing_smolvlm.py, `_prompt_split_image`, the same in idefics3. That a
    line's end is one token, and that two which follow one another are, is the tokenizer's affair, and supposed."""
    return rows * (2 * columns + 1) + 3


def _times(said: Config) -> int:
    size, tile = (said.get(name, {}).get("longest_edge") for name in ("size", "max_image_size"))
    return math.ceil(size / tile) if size and tile else TILES


def _tiles(width: int, height: int, tile: int, times: int) -> tuple[int, int]:
    """Columns and rows. Source: image_processing_smolvlm.py, `_resize_output_size_rescale_to_max_len` (to even sides),
    `resize_for_vision_encoder` and `split_images`; the same in idefics3."""
    longer, ratio = times * tile, width / height
    if width >= height:
        columns, shorter = times, _even(longer / ratio)
        return columns, math.ceil(int(columns * tile / (longer / shorter)) / tile)
    rows, shorter = times, _even(longer * ratio)
    return math.ceil(int(rows * tile * (shorter / longer)) / tile), rows


def _even(side: float) -> int:
    return int(side) + int(side) % 2 or 1


# LLaVA 1.5


def _llava(config: Config, images: Images, _said: Config) -> Shown:
    """Any image is resized and cropped to the one size of the tower (image_processing_clip.py); the tower's own first
    token is left out (`vision_feature_select_strategy` default)."""
    vision = config["vision_config"]
    side, patch = vision["image_size"], vision["patch_size"]
    cells = (side // patch) ** 2
    kept = cells if config.get("vision_feature_select_strategy", "default") == "default" else cells + 1
    return Shown(
        token=config.get("image_token_id", config.get("image_token_index", 32000)),
        runs=(kept,) * images.count,
        entries={"pixel_values": Entry((images.count, CHANNELS, side, side), "float32")},
    )


PROCESSORS: Mapping[str, Callable[[Config, Images, Config], Shown]] = {
    "qwen2_vl": _qwen,
    "qwen2_5_vl": _qwen,
    "qwen3_vl": _qwen,
    "idefics3": _idefics3,
    "smolvlm": _idefics3,
    "llava": _llava,
}
"""By the model type of a configuration; each is held against transformers' own processor in tests/catalog."""
