"""Malform the bytes of good files with a seeded generator, and put folders, pipes and devices in their place."""

import json
import os
import random
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

DEEP = 100_000

NUMBERS = [
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"1e999",
    b"-0.0",
    b"9" * 30,
    b"9" * 5000,
    b"0x" + b"f" * 9000,
    b"1_0",
    b"01",
]

HOSTILE_WORDS = [
    "=cmd|'/c calc'!A1",
    "+1",
    "-1",
    "@x",
    "\tx",
    "\rx",
    "a\nb",
    "<script>alert(1)</script>",
    "../../x",
    "/etc/passwd",
    "a\0b",
    "\u202eabc",
    "x" * 300,
    "CON",
    "a|b",
    "a\\|b",
    "![x](http://example.org/x.png)",
    "\x1b[31m",
    "[red]",
    "",
]
HALF_A_PAIR = "\ud800"


def _flip(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 8])):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _truncate(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def _insert(content: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(content) + 1)
    piece = rng.choice(
        [rng.randbytes(rng.randrange(1, 9)), b"\0", b"\xff", b"\xef\xbb\xbf", b"\x1b[31m", b"\n", b'"', b"{"]
    )
    return content[:place] + piece + content[place:]


def _delete(content: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(content))
    return content[:place] + content[place + rng.randrange(1, 40) :]


def _repeat(content: bytes, rng: random.Random) -> bytes:
    """Repeat whole lines, which may write a key twice."""
    lines = content.splitlines(keepends=True)
    place = rng.randrange(len(lines))
    return b"".join([*lines[: place + 1], *lines[place : place + rng.randrange(1, 4)], *lines[place + 1 :]])


def _other_number(content: bytes, rng: random.Random) -> bytes:
    places = list(re.finditer(rb"(?<![\w.])\d+(\.\d+)?(?![\w.])", content))
    if not places:
        return _flip(content, rng)
    found = rng.choice(places)
    near = str(rng.choice([int(found[0].split(b".")[0]) + 1, 0.25, -1])).encode()
    return content[: found.start()] + rng.choice([near, *NUMBERS]) + content[found.end() :]


def _other_word(content: bytes, rng: random.Random) -> bytes:
    places = list(re.finditer(rb'"[^"\n]*"', content))
    if not places:
        return _flip(content, rng)
    found = rng.choice(places)
    word = json.dumps(rng.choice([*HOSTILE_WORDS, HALF_A_PAIR]), ensure_ascii=rng.random() < 0.5)
    return content[: found.start()] + word.encode("utf-8", "surrogatepass") + content[found.end() :]


def _other_encoding(content: bytes, rng: random.Random) -> bytes:
    name = rng.choice(["utf-16", "utf-32", "utf-8-sig", "utf-7", "cp037"])
    return content.decode("latin-1").encode(name)


def _something_else(content: bytes, rng: random.Random) -> bytes:
    return rng.choice(
        [
            b"",
            b"\0" * len(content),
            rng.randbytes(200),
            b"[" * DEEP,
            b'{"a":' * DEEP,
            b"a = " + b"[" * 5000,
            b"a" + b".a" * 5000 + b" = 1",
            b"null",
            b"{}",
            b"[]",
            b"1" * 5000,
            b"a = " + b"1" * 5000,
            b'"' + b"x" * 100_000 + b'"',
            content + content,
        ]
    )


OF_BYTES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip,
    _flip,
    _flip,
    _truncate,
    _insert,
    _delete,
    _repeat,
    _other_number,
    _other_word,
    _other_encoding,
    _something_else,
)


def malformed(content: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Yield ``count`` malformations of a file's bytes, each of which differs from them."""
    rng = random.Random(seed)
    while count:
        changed = rng.choice(OF_BYTES)(content, rng)
        if changed != content:
            count -= 1
            yield changed


def malform_path(path: Path, how: str) -> None:
    """Replace a file by something else: a folder, a loop of links, a broken link, a pipe, a device, a huge file."""
    path.unlink(missing_ok=True)
    if how == "folder":
        path.mkdir()
    elif how == "loop":
        path.symlink_to(path.name)
    elif how == "dangling":
        path.symlink_to("nowhere")
    elif how == "device":
        path.symlink_to("/dev/zero")
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "huge":
        with path.open("wb") as file:
            file.truncate(1 << 40)


NOT_FILES = ("folder", "loop", "dangling", "device", "pipe", "huge")


def normalised(reason: str) -> str:
    """A reason for a refusal without what differs from file to file: paths, quoted words, numbers, digests."""
    text = re.sub(r"\S*/\S+", "FILE", reason)
    text = re.sub(r"'[^']*'|\"[^\"]*\"|\(found [^)]*\)", "X", text)
    text = re.sub(r"[0-9a-f]{12,}", "X", text)
    return re.sub(r"\d+", "N", text)


def tell(line: str) -> None:
    """Print the findings of a test, which pytest shows with ``-s``."""
    sys.stdout.write(line + "\n")
