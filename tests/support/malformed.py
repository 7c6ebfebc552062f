"""Malformations of files that are right: of their bytes by a seeded generator, of their structure by hypothesis."""

import json
import os
import random
import re
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

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
    """Repeat whole lines: that is how a key comes to be there twice."""
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
    """Put something in a file's place that is no file: a folder, a loop of links, a pipe, a device, nothing."""
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


NO_FILES = ("folder", "loop", "dangling", "device", "pipe", "huge")


def nested(depth: int) -> Any:
    """A list in a list in a list."""
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


hostile_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 3),
    st.sampled_from([2**31, 2**53, 2**63, 2**64, 10**40, 10**3000, -(10**20)]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([1e308, 5e-324, -0.0]),
    st.sampled_from(HOSTILE_WORDS),
    st.text(max_size=20).filter(lambda text: text.isprintable()),
    st.just([]),
    st.just({}),
    st.just({"a": 1}),
    st.just(nested(50)),
).map(deepcopy)  # what is drawn may be altered once more


def paths_in(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The place of every value inside a value, itself left out."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in items for place in [(*prefix, key), *paths_in(inner, (*prefix, key))]]


@st.composite
def altered(draw: st.DrawFn, value: Any) -> Any:
    """A copy of a JSON value in which one or two things are other ones, are gone, are new or have another name."""
    changed = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(1, 2))):
        places = paths_in(changed)
        if not places:
            break
        *parents, last = draw(st.sampled_from(places))
        owner = changed
        for key in parents:
            owner = owner[key]
        how = draw(st.sampled_from(["replace", "replace", "replace", "remove", "add", "rename"]))
        if how == "remove":
            del owner[last]
        elif how == "replace" or isinstance(owner, list):
            owner[last] = draw(hostile_values)
        elif how == "add":
            owner[
                draw(st.sampled_from(["new", "digest", "self", "__class__", "a b", "", "x" * 300, *HOSTILE_WORDS[:6]]))
            ] = draw(hostile_values)
        else:
            owner[draw(st.sampled_from([f"{last}x", str(last).upper(), str(last)[1:]]))] = owner.pop(last)
    return changed


def toml_text(value: Any) -> str:
    """A value as TOML; nothing, which TOML has no word for, is left out."""
    return "".join(f"{json.dumps(key)} = {_toml(inner)}\n" for key, inner in value.items() if inner is not None)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items() if v is not None) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(inner) for inner in value if inner is not None) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def normalised(reason: str) -> str:
    """A reason for a refusal without what differs from file to file: paths, quoted words, numbers, digests."""
    text = re.sub(r"\S*/\S+", "FILE", reason)
    text = re.sub(r"'[^']*'|\"[^\"]*\"|\(found [^)]*\)", "X", text)
    text = re.sub(r"[0-9a-f]{12,}", "X", text)
    return re.sub(r"\d+", "N", text)


def tell(line: str) -> None:
    """Say what a test came to, for whoever runs it with ``-s``."""
    sys.stdout.write(line + "\n")
