"""What a model is shown beside what it is asked: files of images, looked at before it is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from finefit.catalog.images import refused
from finefit.errors import BadInput, Problem
from finefit.lower.images import cannot_show, tokens_of
from finefit.nouns.formats.image_refs import DATA, NETWORK, Unreadable
from finefit.nouns.images import Size
from finefit.nouns.model import Model
from finefit.nouns.sampling import Answer
from finefit.run.session import Session
from finefit.world.image_files import Looks, sizes_of
from finefit.world.pictures import refuse_blind, said_of_pictures

Orders = dict[str, Any]
Part = dict[str, str]
ROOT = Path("/")
"""A path that the user gives may lead anywhere."""


@dataclass(frozen=True)
class Shown:
    """Images before a question's words."""

    parts: tuple[Part, ...] = ()
    sizes: tuple[Size, ...] = ()
    added: int = 0
    # tokens to which their placeholders grow

    def before(self, text: str) -> str | list[Part]:
        return [*self.parts, {"type": "text", "text": text}] if self.parts else text

    def __add__(self, other: Shown) -> Shown:
        return Shown((*self.parts, *other.parts), (*self.sizes, *other.sizes), self.added + other.added)


NOTHING = Shown()


def model_in(orders: Orders) -> Model:
    """The one that orders are about, with what its folder says of pictures."""
    told = orders["model"]
    pictures = said_of_pictures(Path(told["folder"]))
    return Model(id=str(told["folder"]), config=told["config"], folder=told["folder"], pictures=pictures)


def sees(orders: Orders) -> bool:
    return not cannot_show(Model(id="", config=orders["model"]["config"]))


def looks_of(model: Model) -> Looks:
    """Closely: pixels are read before the model is loaded."""
    return Looks(decodes=True, refused=partial(refused, model.config))


def show(images: Sequence[str], orders: Orders, where: str = "--image") -> Shown:
    """Files, in their order. Raises `BadInput` with each that cannot be shown."""
    model = model_in(orders)
    if why := cannot_show(model):
        raise BadInput(Problem("the model cannot be shown images", where, why))
    refuse_blind(Path(str(model.folder)))
    paths = [path if path.startswith(NETWORK) else str(Path(path).expanduser().absolute()) for path in images]
    sizes: list[Size] = []
    problems = []
    for path in paths:
        try:
            sizes += sizes_of([path], ROOT, looks_of(model))
        except Unreadable as error:
            problems.append(Problem(str(error), where))
    if problems:
        raise BadInput(*problems)
    return Shown(tuple({"type": "image", "image": path} for path in paths), tuple(sizes), tokens_of(model, sizes))


def stamps_of(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """When each file that they show was written."""
    for message in messages:
        for part in message["content"] if isinstance(message["content"], list) else ():
            path = part.get("image", DATA)
            if not path.startswith(DATA):
                yield f"{path} {Path(path).stat().st_mtime_ns}"


class Chat:
    """A conversation with a model that stays loaded. What is attached is shown with what the user says next."""

    def __init__(self, session: Session, orders: Orders) -> None:
        self._session = session
        self._orders = orders
        self._attached = NOTHING

    def attach(self, path: str) -> Size:
        """Its width and height in pixels. Raises `BadInput`, and nothing is attached."""
        shown = show([path], self._orders, "/image")
        self._attached += shown
        return shown.sizes[0]

    def say(self, text: str, on_text: Callable[[str], None]) -> Answer:
        """What could not be answered was not said, and what was attached is no more."""
        shown, self._attached = self._attached, NOTHING
        return self._session.say(shown.before(text), on_text, shown.added)

    def stop(self) -> None:
        """Ends the answer that is being written."""
        self._session.stop()

    def reset(self) -> None:
        self._attached = NOTHING
        self._session.reset()
