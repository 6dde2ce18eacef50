#!/usr/bin/env python
"""Run Statekeep's management commands."""

import errno
import os
import signal
import sys
from typing import TextIO

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # a disk, a quota, the largest file allowed


def main() -> None:
    """Run the command in sys.argv; report a failing database in one line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        if sys.argv[1:2] == ["sign"]:
            return _sign()
        from config.local import fresh

        fresh.prepare(sys.argv)
        from django.core.management import execute_from_command_line
        from django.db import DatabaseError, DataError, IntegrityError, InterfaceError

        try:
            execute_from_command_line(sys.argv)
        except (InterfaceError, DatabaseError) as error:
            # These two tell of a mistake in the program.
            if "--traceback" in sys.argv or isinstance(error, DataError | IntegrityError):
                raise
            sys.exit(
                "statekeep: the database can't be used (does it run, is it whole and migrated?): "
                f"{' '.join(str(error).split())}"
            )
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the output, such as `head`, has ended: exit silently, as by SIGPIPE.
        _discard_output(sys.stdout, sys.stderr)
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        if "--traceback" in sys.argv or error.errno not in FULL:
            raise
        _discard_output(sys.stdout)
        sys.exit(f"statekeep: the output can't be written: {error.strerror}.")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _sign() -> None:
    """Run `sign`, which needs no settings, without the second or two that Django takes to start."""
    from django.conf import settings

    from connector_state.management.commands import sign

    settings.configure()
    sign.Command().run_from_argv(sys.argv)
    sys.stdout.flush()


def _discard_output(*streams: TextIO) -> None:
    """Discard what is still buffered: Python would flush it at exit, and fail again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream.fileno())


if __name__ == "__main__":
    main()
