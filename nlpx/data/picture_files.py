"""Pictures from files, all scaled to one size, and tables of their captions."""

import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from nlpx.data import text_files
from nlpx.data.corrupt import GAP, corrupt_records
from nlpx.errors import InputError, needs

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""What Pillow may take a file for. It knows more, and starts other programs to open some, such as EPS."""
MOST_PIXELS, MOST_BYTES = 2**26, 2**28
"""More pixels would take a gigabyte, and a file of a few bytes can claim them; what a file has beyond is not read."""


def is_picture(path: str) -> bool:
    """Return whether a path has a picture's suffix, or Pillow can open it."""
    if path.lower().endswith(SUFFIXES):
        return True
    image = _pillow()
    try:
        with image.open(path, formats=FORMATS):
            return True
    except Exception:  # as in `open_picture`
        return False


def open_picture(path: str | Path, size: int, channels: int) -> UInt8[np.ndarray, "y x c"]:
    """Read a picture as a square of `size` pixels per side, 0 (black) to 255.

    Proportions are kept: a picture that is not square gets grey (128) borders. Transparent pixels become white, EXIF
    orientation is applied, and of several frames the first is read.

    Args:
      channels: 1 for grey, 3 for RGB.

    Raises:
      InputError: the file is missing, not a picture of these formats, damaged, or too large.
    """
    image = _pillow()
    if os.path.isdir(os.path.expanduser(path)):
        raise InputError(f"{path} is a folder: name a picture, or a file with the path of one on each line")
    try:
        with open(os.path.expanduser(path), "rb") as file:
            # From a file on disk Pillow makes room for what a chunk claims; and a read makes room for what it may read.
            most = min(MOST_BYTES, os.fstat(file.fileno()).st_size or MOST_BYTES)
            content = io.BytesIO(file.read(most))
        with image.open(content, formats=FORMATS) as picture:
            if math.prod(picture.size) > MOST_PIXELS:
                raise InputError(f"{path} has over {MOST_PIXELS:,} pixels: scale it down first")
            return _square(picture, size, channels)
    except InputError:
        raise
    # Pillow raises errors of many kinds for damaged files.
    except Exception as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "no picture, or a damaged one"
        raise InputError(f"cannot open {path}: {why}; give the path of a PNG or JPEG") from None


def square(pixels: UInt8[np.ndarray, "y x c"], size: int, channels: int) -> UInt8[np.ndarray, "height width channels"]:
    """Convert pixels as `open_picture` does."""
    return _square(_pillow().fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels), size, channels)


def read_table(path: str, size: int, channels: int) -> tuple[list[np.ndarray], list[tuple[int, str]], int]:
    """Read the pictures and captions of a table: a picture's path, a tab and a caption on each line.

    Paths are relative to the table's folder. A picture may have several lines, one per caption. A picture that does not
    open is a corrupt record, and so is a line without its parts.

    Args:
      path: the table's path; the table is in UTF-8, and a first line that names no picture is a header.
      size, channels: see `open_picture`.

    Returns:
      The pictures, each once; examples (index of the picture, caption) in the order of the table; and the number of
        lines left out because their picture does not open.

    Raises:
      InputError: the table cannot be read or holds no picture, a line lacks tab, path or caption, or a picture does not
        open.
    """
    folder = Path(os.path.expanduser(path)).parent
    if os.path.isdir(os.path.expanduser(path)):
        raise InputError(f"{path} is a folder; name the table of pictures and captions in it")
    rows = []
    for number, line in enumerate(text_files.read(path, GAP).split("\n"), 1):
        name, _, caption = (part.strip() for part in line.partition("\t"))
        if line == GAP or not (name or caption) or (number == 1 and caption and not is_picture(str(folder / name))):
            continue
        with corrupt_records():
            if not (name and caption):
                raise InputError(f"{path}, line {number}: write the path of a picture, a tab, and its caption")
            rows.append((name, caption))
    names = list(dict.fromkeys(name for name, _ in rows))
    if not names:
        raise InputError(f"{path} holds no picture; write a path, a tab and a caption on each line")
    places, pictures = {}, []
    for name in names:
        with corrupt_records():
            pictures.append(open_picture(folder / name, size, channels))
            places[name] = len(pictures) - 1
    if not pictures:
        raise InputError(f"no picture of {path} opens; mend the paths, which are relative to its folder")
    kept = [(places[name], caption) for name, caption in rows if name in places]
    return pictures, kept, len(rows) - len(kept)


def write_examples(folder: Path, pictures: UInt8[np.ndarray, "n y x c"], captions: Sequence[str]) -> None:
    """Write pictures as PNG files, and `captions.tsv`, a table of them for `read_table`."""
    image = _pillow()
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{number:02}.png" for number in range(len(pictures))]
    for name, picture in zip(names, pictures, strict=True):
        image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(folder / name)
    lines = (f"{name}\t{caption}\n" for name, caption in zip(names, captions, strict=True))
    (folder / "captions.tsv").write_text("".join(lines), encoding="utf-8")


def _square(picture: Any, size: int, channels: int) -> np.ndarray:
    from PIL import Image, ImageOps

    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):  # 16 bits
        picture = Image.fromarray((np.asarray(picture) // 257).clip(0, 255).astype(np.uint8))
    if picture.has_transparency_data:
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), _as_rgba(picture))
    picture = picture.convert("L" if channels == 1 else "RGB")
    grey = 128 if channels == 1 else (128, 128, 128)
    if picture.size != (size, size):
        picture = ImageOps.pad(picture, (size, size), Image.Resampling.BILINEAR, color=grey)
    return np.asarray(picture, np.uint8).reshape(size, size, channels)


def _as_rgba(picture: Any) -> Any:
    return picture if picture.mode == "RGBA" else picture.convert("RGBA")


def _pillow() -> Any:
    with needs("a picture"):
        from PIL import Image
    return Image
