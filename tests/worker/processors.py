"""Small tokenizers and processors of models that see, as transformers builds them, without torchvision."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from trl import chat_template_utils as templates
from vision import FAMILIES

from finefit.catalog.images import PIXELS
from finefit.worker.build import model_class, read_config

QWEN = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
TILED = ["<|im_start|>", "<end_of_utterance>", "<fake_token_around_image>", "<image>", "<global-img>"]
TILED += [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]


def tokenizer(special: list[str], template: str) -> Any:
    """Words with the space before them, and the ends of lines, two of which are one token."""
    known = ["<pad>", "<unk>", "\n", "\n\n", *(f" w{number}" for number in range(40))]
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(known)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(" +"), "merged_with_next"), pre_tokenizers.Split(Regex("\n+"), "isolated")]
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="<pad>")
    fast.add_special_tokens({"additional_special_tokens": special})
    fast.chat_template = template
    return fast


def qwen2_vl(config: dict[str, Any]) -> Any:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
    from transformers.models.qwen2_vl.processing_qwen2_vl import Qwen2VLProcessor

    class Processor(Qwen2VLProcessor):  # type: ignore[misc]
        """Without one of videos, which needs torchvision."""

        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> type:
            return type(argument)

    words = tokenizer(QWEN, templates.qwen2_5_vl_chat_template)
    fewest, most = PIXELS["qwen2_vl"]
    pictures = Qwen2VLImageProcessorPil(patch_size=14, size={"shortest_edge": fewest, "longest_edge": most})
    return Processor(pictures, words, None, chat_template=words.chat_template)


def idefics3(config: dict[str, Any]) -> Any:
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
    from transformers.models.idefics3.processing_idefics3 import Idefics3Processor

    words = tokenizer(TILED, templates.idefics3_chat_template)
    tile, patch = config["vision_config"]["image_size"], config["vision_config"]["patch_size"]
    pictures = Idefics3ImageProcessorPil(size={"longest_edge": 4 * tile}, max_image_size={"longest_edge": tile})
    pieces = (tile // patch) ** 2 // config["scale_factor"] ** 2
    return Idefics3Processor(pictures, words, image_seq_len=pieces, chat_template=words.chat_template)


def llava(config: dict[str, Any]) -> Any:
    from transformers import LlavaProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    side, patch = config["vision_config"]["image_size"], config["vision_config"]["patch_size"]
    words = tokenizer(["<image>"], templates.llava_next_chat_template)
    pictures = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    strategy = config["vision_feature_select_strategy"]
    return LlavaProcessor(pictures, words, patch, strategy, words.chat_template, num_additional_image_tokens=1)


PROCESSORS: Mapping[str, Callable[[dict[str, Any]], Any]] = {
    "qwen2_vl": qwen2_vl,
    "idefics3": idefics3,
    "llava": llava,
}


def loadable(folder: Path, family: str) -> None:
    """With weights, and a processor of few pieces, as `AutoProcessor` reads it."""
    from transformers import Qwen2VLImageProcessorPil, SmolVLMImageProcessorPil

    like = "qwen2_vl" if family.startswith("qwen") else "idefics3" if family == "smolvlm" else family
    config, made = FAMILIES[family][0](), PROCESSORS[like](FAMILIES[family][0]())
    pictures, words, side = made.image_processor, made.tokenizer, config["vision_config"]["patch_size"]
    if like == "qwen2_vl":
        limits = {"shortest_edge": 4 * (2 * side) ** 2, "longest_edge": 16 * (2 * side) ** 2}
        pictures = Qwen2VLImageProcessorPil(patch_size=side, size=limits)
        for name in ("vision_start", "vision_end"):
            config[f"{name}_token_id"] = words.convert_tokens_to_ids(f"<|{name}|>")
        config["video_token_id"] = words.convert_tokens_to_ids("<|video_pad|>")
    elif family == "smolvlm":
        pictures = SmolVLMImageProcessorPil(size=pictures.size, max_image_size=pictures.max_image_size)
    token = {"qwen2_vl": "<|image_pad|>"}.get(like, "<image>")
    config["image_token_index" if family == "llava" else "image_token_id"] = words.convert_tokens_to_ids(token)
    (folder / "config.json").write_text(json.dumps(config))
    words.save_pretrained(folder)
    pictures.save_pretrained(folder)
    (folder / "processor_config.json").write_text(json.dumps(SAID.get(family, {})))
    found = read_config({"folder": str(folder), "trust_remote_code": False})
    model_class(found).from_config(found).save_pretrained(folder)


SAID = {
    "idefics3": {"image_seq_len": 4},
    "smolvlm": {"image_seq_len": 4},
    "llava": {"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
}
"""Of processors, beside what their parts say."""


def model_folder(folder: Path, family: str) -> tuple[dict[str, Any], Any]:
    """A configuration with the tokenizer's own image token, and the processor; both of them in the folder, without
    weights."""
    config = FAMILIES[family][0]()
    processor = PROCESSORS[family](config)
    token = processor.image_token if hasattr(processor, "image_token") else "<image>"
    key = "image_token_index" if family == "llava" else "image_token_id"
    config[key] = processor.tokenizer.convert_tokens_to_ids(getattr(token, "content", token))
    (folder / "config.json").write_text(json.dumps(config))
    processor.tokenizer.save_pretrained(folder)
    return config, processor
