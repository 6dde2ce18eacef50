"""Files that commands are given. This imports no model: `sign` runs without Django's start."""

import sys
from pathlib import Path

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


def file_error(name: str, error: OSError) -> CommandError:
    """Return the error to raise for a file that can't be opened or read."""
    return CommandError(f"{printable(name)}: {str(error.strerror or error).rstrip('.')}.")
