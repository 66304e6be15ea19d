"""Processors of models that see, without torchvision.

transformers 5.23 builds the processors of Qwen2-VL, Qwen2.5-VL, Qwen3-VL and SmolVLM only with one of videos, which
needs torchvision; images need Pillow alone. torchvision does not go with every build of torch, so where it is not
installed a stand-in takes the place of what reads videos. SmolVLM's asks for num2words besides, with which it only
writes how many pictures a video has (processing_smolvlm.py).
Ends when transformers builds these processors without one of videos.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from transformers import processing_utils
from transformers.models.auto import video_processing_auto
from transformers.models.smolvlm import processing_smolvlm
from transformers.utils import PushToHubMixin, is_torchvision_available


class NoVideos(PushToHubMixin):
    """Has what processors ask for while they are built and while they read images."""

    model_input_names: tuple[str, ...] = ()
    valid_kwargs = processing_utils.VideosKwargs
    merge_size = temporal_patch_size = 2
    num_frames = fps = 1

    @classmethod
    def from_pretrained(cls, *_args: Any, **_kwargs: Any) -> NoVideos:
        return cls()

    def to_dict(self) -> dict[str, Any]:
        return {}

    def __call__(self, *_args: Any, **_kwargs: Any) -> Any:
        raise RuntimeError("videos need torchvision")


@contextmanager
def without_torchvision() -> Iterator[None]:
    """Processors can be built; nothing is bent where torchvision is installed."""
    if is_torchvision_available():
        yield
        return
    checked = processing_utils.ProcessorMixin.check_argument_for_proper_class

    def check(self: Any, name: str, argument: Any) -> Any:
        return NoVideos if isinstance(argument, NoVideos) else checked(self, name, argument)

    with (
        mock.patch.object(processing_utils.ProcessorMixin, "check_argument_for_proper_class", check),
        mock.patch.object(video_processing_auto, "AutoVideoProcessor", NoVideos),
        mock.patch.object(processing_smolvlm, "num2words", processing_smolvlm.num2words or str),
    ):
        yield
