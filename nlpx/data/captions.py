"""Pictures with captions from one SPEC, in three parts: training, validation and test."""

import collections
import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from nlpx.data import digit_scenes, picture_files, tfds_text
from nlpx.data.pairs import digest, held_out_count, own_parts, set_aside
from nlpx.errors import InputError, unknown_source

# The number of a picture, and one of its captions.
Example = tuple[int, str]

_UNREADABLE = "picture does not open"


@dataclasses.dataclass(frozen=True)
class CaptionData:
    """Pictures of one size and examples of their captions. No picture of validation or test is in training.

    Attributes:
      pictures: all pictures, each once, 0 (black) to 255.
      train, validation, test: examples (number of the picture, caption).
      name: the SPEC they came from; those of validation and test, if given, after it.
      sha256: hexadecimal digest of all pictures and captions, to tell two runs on different data apart.
      dropped: why -> how many examples were left out.
    """

    pictures: UInt8[np.ndarray, "n y x c"]
    train: list[Example]
    validation: list[Example]
    test: list[Example]
    name: str
    sha256: str
    dropped: dict[str, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the pictures."""
        return self.pictures.shape[1:]

    def joined(self, *parts: str) -> str:
        """Return all captions of these parts, one per line."""
        return "\n".join(caption for part in parts for _, caption in getattr(self, part))

    def columns(self, part: str) -> dict[str, list[str]]:
        """Return the captions of "train", "validation" or "test"."""
        return {"target": [caption for _, caption in getattr(self, part)]}

    def seen(
        self, part: str, rows: Sequence[int] | Int64[np.ndarray, " rows"] | None = None
    ) -> UInt8[np.ndarray, "rows y x c"]:
        """Return the pictures of these examples of a part, or of all."""
        examples = getattr(self, part)
        return self.pictures[[examples[row][0] for row in (range(len(examples)) if rows is None else rows)]]


class _Pictures:
    """The distinct pictures, numbered in the order in which they came."""

    def __init__(self, size: int, channels: int):
        self.size, self.channels = size, channels
        self.kept: list[np.ndarray] = []
        self._numbers: dict[bytes, int] = {}

    def number(self, picture: np.ndarray) -> int:
        key = hashlib.sha256(picture.tobytes()).digest()
        number = self._numbers.setdefault(key, len(self.kept))
        if number == len(self.kept):
            self.kept.append(picture)
        return number


def load_captions(
    spec: str,
    *,
    size: int = digit_scenes.SIDE,
    color: bool = False,
    valid: str | None = None,
    test: str | None = None,
    lowercase: bool = False,
    seed: int = 0,
) -> CaptionData:
    """Read or make pictures with captions. All are kept in memory: size x size bytes each, three times that in color.

    White space in captions becomes single spaces. A picture may have several captions: training uses all of them, the
    other parts the first of each picture. Parts that the source lacks are held out of its training pictures: 5 % each,
    at most 2,000, chosen by a hash of the picture, so that they hardly change when pictures are added. Training
    examples whose picture, pixel for pixel, is in validation or test are left out and counted.

    Args:
      spec: `digit-scenes` (made, nothing to download), `file:TABLE` (see `picture_files.read_table`), or
        `tfds:NAME[/CONFIG]` (a set with an `Image` and captions, such as coco_captions), with the set's own splits.
      size: pixels per side that all pictures are scaled to; see `picture_files.open_picture`.
      color: whether pictures are RGB instead of grey.
      valid, test: a `file:` SPEC that replaces the source's own part.
      lowercase: captions in lower case.
      seed: for the scenes that are made; pictures that are read do not depend on it.

    Raises:
      InputError: the source is unknown, cannot be read or does not fit, or a part would be empty.
    """
    pictures, dropped = _Pictures(size, 3 if color else 1), collections.Counter()
    parts, name = _load(spec, pictures, seed, dropped), spec
    for part, given in (("validation", valid), ("test", test)):
        if given is not None:
            parts[part] = _read(part, given, pictures, dropped)
            name += f", {part} {given}"
    parts = {part: _clean(examples, lowercase) for part, examples in parts.items()}
    count = held_out_count(list(dict.fromkeys(number for number, _ in parts["train"])))
    for part in ("test", "validation"):
        dropped[f"in {part}"] += set_aside(parts, part, lambda examples: _hold_out(examples, count, pictures.kept))
        first = list({number: (number, caption) for number, caption in reversed(parts[part])}.values())[::-1]
        dropped[f"further captions in {part}"] += len(parts[part]) - len(first)
        parts[part] = first
        if not (parts["train"] and first):
            empty = "training" if first else part
            raise InputError(f"{name} leaves no picture for {empty}; give more pictures")
    stacked = np.stack(pictures.kept)
    both = hashlib.sha256(stacked.tobytes() + digest(parts).encode()).hexdigest()
    counted = {why: count for why, count in dropped.items() if count}
    return CaptionData(stacked, **parts, name=name, sha256=both, dropped=counted)


def read_captions(
    spec: str, *, size: int, color: bool, lowercase: bool = False
) -> tuple[UInt8[np.ndarray, "n y x c"], list[str]]:
    """Read the pictures of a `file:` SPEC and the first caption of each, to measure a model on.

    Raises:
      InputError: as in `load_captions`.
    """
    pictures = _Pictures(size, 3 if color else 1)
    examples = dict(reversed(_clean(_read("test", spec, pictures, collections.Counter()), lowercase)))
    return np.stack(pictures.kept), [examples[number] for number in range(len(pictures.kept))]


def guessed_captions(spec: str, captions: list[str]) -> dict[str, list[str]]:
    """Return the baselines specific to a SPEC: name -> one guess for each of the captions."""
    guessed = digit_scenes.redraw(captions) if spec == "digit-scenes" else None
    return {} if guessed is None else {"the true places, digits at random": guessed}


def _read(part: str, spec: str, pictures: _Pictures, dropped: collections.Counter[str]) -> list[Example]:
    if not spec.startswith("file:"):
        raise InputError(f"{part} pictures come from a file, not from {spec}; write file:TABLE")
    found, examples, bad = picture_files.read_table(spec.removeprefix("file:"), pictures.size, pictures.channels)
    dropped[_UNREADABLE] += bad
    numbers = [pictures.number(each) for each in found]
    return [(numbers[place], caption) for place, caption in examples]


def _load(spec: str, pictures: _Pictures, seed: int, dropped: collections.Counter[str]) -> dict[str, list[Example]]:
    """Load the source's own parts, always with "train"."""
    source, _, argument = spec.partition(":")
    if source == "digit-scenes":
        if argument:
            raise InputError(f"digit-scenes takes no argument, but {spec} gives {argument!r}; write digit-scenes")
        side = digit_scenes.SIDE
        if (pictures.size, pictures.channels) != (side, 1):
            raise InputError(f"digit-scenes are grey pictures of {side} x {side} pixels: leave out size and color")
        return {
            part: [(pictures.number(picture), caption) for picture, caption in zip(*scenes, strict=True)]
            for part, scenes in digit_scenes.make(seed).items()
        }
    if source == "file":
        return {"train": _read("training", spec, pictures, dropped)}
    if source == "tfds":
        return own_parts(_read_tfds(argument, pictures))
    raise unknown_source("source of captions", spec, ("digit-scenes", "file", "tfds"))


def _read_tfds(argument: str, pictures: _Pictures) -> dict[str, list[Example]]:
    def choose(builder: Any) -> tuple[str, str]:
        features = builder.info.features
        images = [name for name, feature in features.items() if type(feature).__name__ == "Image"]
        texts = [name for name in features if name in ("captions", "caption", "text")]
        if not (images and texts):
            listing = ", ".join(sorted(features))
            raise InputError(f"tfds:{argument} has no image with captions; its features are {listing}")
        return images[0], texts[0]

    def value(given: Any) -> Any:
        if isinstance(given, np.ndarray) and given.ndim == 3:
            return pictures.number(picture_files.square(given, pictures.size, pictures.channels))
        return list(texts_in(given))

    splits = tfds_text.read(argument, choose, value)
    return {
        name: [(number, caption) for number, captions in rows for caption in captions] for name, rows in splits.items()
    }


def texts_in(given: Any) -> Any:
    """Yield the texts of a feature: one text, or a nested sequence of texts or of dicts with `text`."""
    if isinstance(given, dict):
        yield from texts_in(given["text"] if "text" in given else next(iter(given.values())))
    elif isinstance(given, bytes):
        yield given.decode("utf-8", "replace")
    elif isinstance(given, str):
        yield given
    else:
        for each in given:
            yield from texts_in(each)


def _clean(examples: list[Example], lowercase: bool) -> list[Example]:
    cleaned = ((number, " ".join(caption.split())) for number, caption in examples)
    return [(number, caption.lower() if lowercase else caption) for number, caption in cleaned if caption]


def _hold_out(examples: list[Example], count: int, pictures: Sequence[np.ndarray]) -> list[Example]:
    numbers = sorted({number for number, _ in examples}, key=lambda at: hashlib.sha256(pictures[at].tobytes()).digest())
    chosen = set(numbers[:count])
    return [example for example in examples if example[0] in chosen]
