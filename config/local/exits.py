"""How `make run` ends when it can't go on: with one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn


def fail(message: str) -> NoReturn:
    """End this process with the message."""
    raise SystemExit(f"statekeep: {message}")


@contextmanager
def one_line() -> Iterator[None]:
    """Turn what the system refuses (a full disk, a folder without permission) into one line."""
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except OSError as error:
        fail(f"{error.filename or 'DATA_DIR'}: {error.strerror or error}")
