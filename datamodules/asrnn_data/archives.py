"""Read the wanted files of an archive one by one, each up to the size that a published file can have."""

import gzip
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, cast

from asrnn.errors import DamagedDataError

LARGEST_FILE = 256 << 20  # bytes; the largest published file is MNIST's training images, 45 MiB
NO_WHOLE_ARCHIVE = (EOFError, gzip.BadGzipFile, zlib.error, tarfile.TarError, KeyError, ValueError)
"""The exceptions that a damaged archive raises."""

_TAR = (".tar.gz", ".tgz", ".tar")


def members(path: Path, wanted: Sequence[str]) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the wanted files of an archive by name, in the order of the archive; a ``.gz`` holds one file.

    Raises:
        KeyError: the archive lacks a wanted file, or has a link or a folder in its place.
    """
    if not path.name.endswith(_TAR):
        with gzip.open(path) as stream:
            yield wanted[0], cast("IO[bytes]", stream)
        return
    left = set(wanted)
    with tarfile.open(path, "r:" if path.suffix == ".tar" else "r:gz") as archive:
        for member in archive:  # in one pass: a step back would unpack everything again
            if member.name not in left:
                continue
            content = archive.extractfile(member) if member.isreg() else None  # links may lead in a circle
            if content is None:
                raise KeyError(f"{member.name} is no file")
            left.remove(member.name)
            with content:
                yield member.name, content
    if left:
        raise KeyError(f"{min(left)} is not in it")


def blocks(stream: IO[bytes], name: str) -> Iterator[bytes]:
    """Yield the content of a file of an archive, a MiB at a time.

    Raises:
        DamagedDataError: the file is far larger than any published file. It is not read to its end.
    """
    left = LARGEST_FILE
    while block := stream.read(1 << 20):
        left -= len(block)
        if left < 0:
            raise DamagedDataError(f"{name} is larger than {LARGEST_FILE >> 20} MiB, which no published file is")
        yield block
