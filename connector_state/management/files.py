"""Files that commands are given. This imports no model: `sign` runs without Django's start."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from django.core.management.base import CommandError

from common.visible import printable


def read_file(name: str) -> bytes:
    """Return the content of a file, or of standard input if the name is "-".

    Raises:
        CommandError: it can't be read.
    """
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise file_error(name, error) from error


@contextmanager
def open_file(name: str) -> Iterator[BinaryIO]:
    """Open a file to read it more than once; "-" is a copy of standard input.

    Raises:
        OSError: it can't be opened or copied.
    """
    with open(name, "rb") if name != "-" else TemporaryFile() as file:
        if name == "-":
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield file


def file_error(name: str, error: OSError) -> CommandError:
    """Return the error to raise for a file that can't be opened or read."""
    return CommandError(f"{printable(name)}: {str(error.strerror or error).rstrip('.')}.")
