"""`file:PATH[,PATH...]`: text files, gzipped text files, and folders of them."""

import contextlib
import gzip
import os
import re
import stat
import zlib

from nlpx.data.corrupt import corrupt_records
from nlpx.data.splits import split_characters, split_documents
from nlpx.errors import InputError

_ENDINGS = (".txt", ".md", ".rst", ".tokens", ".text")
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")


def load(argument: str, validation_fraction: float) -> tuple[str, str]:
    """Read the files as one text, and cut it at a character into training and validation text."""
    return split_characters(read(argument), validation_fraction)


def load_documents(argument: str, validation_fraction: float) -> tuple[list[str], list[str]]:
    """Read the files as documents, and cut their list in two. Each file is a document; of a single file, each stretch
    without a blank line is one.

    Raises:
      InputError: as in `read`.
    """
    texts = [_read_file(path) for path in paths(argument)]
    documents = _BLANK_LINES.split(texts[0]) if len(texts) == 1 else texts
    if documents := [each for each in documents if each.strip()]:
        return split_documents(documents, validation_fraction)
    raise InputError(f"file:{argument} holds no text: there is white space alone")


def read(argument: str, gap: str = "") -> str:
    """Read the text of all files in a comma-separated list of paths, in order.

    A folder stands for the files in it, at any depth and sorted, that end in .txt, .md, .rst, .tokens or .text, or in
    one of these and .gz. Line ends stay as they are, and a byte order mark is dropped. If a file does not end its last
    line and another file follows, a line end is added, so that two words do not merge.

    A line that is not UTF-8 is a corrupt record, unless it is the first, which may be a header.

    Args:
      gap: takes the place of a corrupt line that is left out; its line end stays.

    Raises:
      InputError: a file is missing, empty, unreadable, not UTF-8 or a damaged gzip, or a folder holds no such file.
    """
    texts = [_read_file(path, gap) for path in paths(argument)]
    texts = [text for text in texts if text]
    if not texts:
        raise InputError(f"file:{argument} holds no text: every file is empty")
    ended = [text if text.endswith("\n") else text + "\n" for text in texts[:-1]]
    return "".join([*ended, texts[-1]])


def paths(argument: str) -> list[str]:
    """Return the files that a comma-separated list of files and folders names.

    Raises:
      InputError: a path is empty, missing or an empty file, or a folder holds no text file.
    """
    found: list[str] = []
    for path in map(os.path.expanduser, argument.split(",")):
        if not path:
            raise InputError(f"file:{argument} names an empty path; write file:PATH or file:PATH,PATH")
        try:
            mode = os.stat(path).st_mode
        except (OSError, ValueError) as error:  # a name with a zero byte, or half a character
            why = getattr(error, "strerror", error)
            raise InputError(f"cannot read {path}: {why}; give the path of a text file") from error
        if stat.S_ISDIR(mode):
            found.extend(_folder(path))
        elif not stat.S_ISREG(mode):
            raise InputError(f"{path} is neither a file nor a folder; give the path of a text file")
        elif os.path.getsize(path) == 0:
            raise InputError(f"{path} is empty; give a file with text")
        else:
            found.append(path)
    return found


def refuse_half_characters(*texts: str) -> None:
    """Raise a ValueError if a text, as JSON can write it, holds half a character: no UTF-8 could be made of it."""
    if any(map(_HALF_CHARACTER.search, texts)):
        raise ValueError("half a character (a lone \\ud800 to \\udfff); write both halves or delete it")


def _folder(folder: str) -> list[str]:
    def refuse(error: OSError) -> None:
        raise InputError(f"cannot read the folder {error.filename}: {error.strerror}; take it out, or let it be read")

    found, seen = [], set()
    for inner, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        if (place := os.path.realpath(inner)) in seen:  # a link to a folder visited already
            folders.clear()
            continue
        seen.add(place)
        texts = (name for name in names if name.lower().removesuffix(".gz").endswith(_ENDINGS))
        found += [path for name in texts if os.path.isfile(path := os.path.join(inner, name))]
    if not found:
        endings = ", ".join(_ENDINGS)
        raise InputError(
            f"the folder {folder} holds no text file; a name must end in {endings}, or one of these and .gz"
        )
    return sorted(found)


def _read_file(path: str, gap: str = "") -> str:
    zipped = path.lower().endswith(".gz")
    try:
        with gzip.open(path, "rb") if zipped else open(path, "rb") as file:
            content = file.read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path} is not a whole gzip file ({error}); fetch or pack it again") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; give a text file you may read") from error
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = _line_by_line(path, content, zipped, gap)
    return text.removeprefix("\ufeff")


def _line_by_line(path: str, content: bytes, zipped: bool, gap: str) -> str:
    """Decode text of which some lines are not UTF-8."""
    texts, offset = [], 0
    for number, line in enumerate(content.split(b"\n"), 1):
        texts.append(gap)
        with corrupt_records() if number > 1 else contextlib.nullcontext():
            try:
                texts[-1] = line.decode("utf-8")
            except UnicodeDecodeError as error:
                where = f"byte offset {offset + error.start}" + (" of the unpacked text" if zipped else "")
                raise InputError(
                    f"{path} is not UTF-8: byte 0x{line[error.start]:02x} at {where}, line {number}; convert it, for "
                    "example with iconv"
                ) from error
        offset += len(line) + 1
    return "\n".join(texts)
