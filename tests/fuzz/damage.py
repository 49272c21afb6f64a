"""Broken files, made of whole ones."""

import copy
import gzip
import json
import re
import zlib
from random import Random
from typing import Any

NUMBERS = [b"0", b"-1", b"1e999", b"nan", b"1_0", b"2147483648", b"18446744073709551616", b"9" * 5000, "٣".encode()]
PIECES = [b"", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", "\u2028\x85\xa0\u202eİ".encode(), b"\r", b"\t", b'"']
PIECES += [b",", b";", b":", b"=", b"*", b".", b"\\", b"[", b"{", b" ", b"\n", b"\n\n", b"[" * 200, b"(" * 200, b"null"]
PIECES += [b"\\ud800", b"0001-01-01T00:00+09:00", b"a{99999999999}", b"B-X I-X", b"\n-DOCSTART-\n", b"--", *NUMBERS]
VALUES = [None, True, 0, -1, 1.5, 1e999, 10**9, 10**30, "", "a", "\ud800", "\n", "9" * 5000, [], {}, [[]], ["a", 1]]
VALUES += [[0, 2**40, 2**40], [0] * 70, [1] * 70]
DEEP = "DEEP"
"""Stands for lists in lists, deeper than any encoder writes."""


def damaged(rng: Random, name: str, content: bytes) -> bytes:
    """Damage a file as its kind suggests, or like any bytes."""
    if name.endswith(".gz") and rng.random() < 0.7:
        return gzip.compress(damaged(rng, name.removesuffix(".gz"), gzip.decompress(content)), 1)
    return rng.choice([_bytes, *(way for ends, way in WAYS for _ in range(2) if name.endswith(ends))])(rng, content)


def _bytes(rng: Random, content: bytes) -> bytes:
    for _ in range(rng.choice((1, 1, 2, 5))):
        content = rng.choice(EDITS)(rng, content)
    return content


def _slice(rng: Random, content: bytes) -> tuple[int, int]:
    begin = rng.randrange(len(content) + 1)
    return begin, min(len(content), begin + rng.choice((1, 1, 4, 30, len(content))))


def _put(rng: Random, content: bytes) -> bytes:
    begin, end = _slice(rng, content)
    piece = rng.choice((rng.randbytes(1), *PIECES))
    return content[:begin] + piece + content[rng.choice((begin, end)) :]


def _double(rng: Random, content: bytes) -> bytes:
    begin, end = _slice(rng, content)
    times = min(rng.choice((2, 2, 3, 9, 10**6 if rng.random() < 0.02 else 4)), 1 + 200_000 // max(1, end - begin))
    return content[:begin] + content[begin:end] * times + content[end:]


def _number(rng: Random, content: bytes) -> bytes:
    begin, end = rng.choice([each.span() for each in re.finditer(rb"\d+", content)] or [(0, 0)])
    return content[:begin] + rng.choice(NUMBERS) + content[end:]


def _line(rng: Random, content: bytes) -> bytes:
    lines = content.split(b"\n")
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[at], lines[other] = rng.choice(((lines[other], lines[at]), (lines[at],) * 2, (b"", lines[at])))
    return b"\n".join(lines)


def _field(rng: Random, content: bytes) -> bytes:
    """Write a number of a binary format, near the beginning."""
    at, size = rng.randrange(min(64, len(content)) + 1), rng.choice((1, 2, 4, 8))
    number = rng.choice((0, 1, 2**7, 2**15, 9000, 30_000, 2**31 - 1, 2**32 - 1, 2**62, 2**64 - 1)) % 2 ** (8 * size)
    return content[:at] + number.to_bytes(size, rng.choice(("little", "big"))) + content[at + size :]


EDITS = [_put, _put, _double, _number, _line, _field, lambda rng, content: content[: _slice(rng, content)[0]]]


def _json(rng: Random, content: bytes) -> bytes:
    """Change values of a JSON text: another type or size, a key too few or too many."""
    top = {"": json.loads(content)}
    for _ in range(rng.choice((1, 1, 3))):
        places = list(_places(top))
        (holder, key), (other, there), change = rng.choice(places), rng.choice(places), rng.random()
        if change < 0.1 and holder is not top:
            del holder[key]
        elif change < 0.2 and isinstance(holder, dict) and holder is not top:
            holder[rng.choice(("", "a", "\ud800", f"{key}s", *holder))] = holder.pop(key)
        elif change < 0.3:
            holder[key] = json.loads(json.dumps(other[there]))
        else:
            holder[key] = DEEP if rng.random() < 0.02 else copy.deepcopy(rng.choice(VALUES))
    text = json.dumps(top[""], ensure_ascii=rng.random() < 0.5)
    depth = rng.choice((100_000, rng.randrange(900, 1000)))
    return text.replace(f'"{DEEP}"', "[" * depth + "]" * depth).encode("utf-8", "surrogatepass")


def _places(holder: Any) -> Any:
    for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
        yield holder, key
        if isinstance(holder[key], dict | list):
            yield from _places(holder[key])


def _json_line(rng: Random, content: bytes) -> bytes:
    lines = content.rstrip(b"\n").split(b"\n")
    at = rng.randrange(len(lines))
    lines[at] = _json(rng, lines[at])
    return b"\n".join(lines) + b"\n"


def _safetensors(rng: Random, content: bytes) -> bytes:
    """Change the header, mostly with its length."""
    size = int.from_bytes(content[:8], "little")
    header = rng.choice((_json, _bytes))(rng, content[8 : 8 + size])
    told = len(header) if rng.random() < 0.9 else rng.choice((0, 1, 10**8, 2**40, 2**64 - 1))
    return told.to_bytes(8, "little") + header + content[8 + size :]


def _png(rng: Random, content: bytes) -> bytes:
    """Damage one part, with the checksum that belongs to it."""
    at, parts = 8, []
    while at < len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        parts.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += 12 + size
    place = rng.choice((0, rng.randrange(len(parts))))
    parts[place] = parts[place][0], rng.choice((_bytes, _field))(rng, parts[place][1])
    body = (len(b).to_bytes(4, "big") + n + b + zlib.crc32(n + b).to_bytes(4, "big") for n, b in parts)
    return content[:8] + b"".join(body)


WAYS = [((".json", "METADATA", "metrics"), _json), (".jsonl", _json_line), (".safetensors", _safetensors)]
WAYS += [(".png", _png), ((".png", "picture", ".bin", ".jpg", ".bmp", ".tiff", ".gif", ".ppm"), _field)]
