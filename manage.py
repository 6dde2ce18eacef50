#!/usr/bin/env python
"""Django's command-line utility for Statekeep."""

import os
import signal
import sys
from typing import NoReturn


def main() -> None:
    """Run one management command with the settings of this checkout."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        from django.core.management import execute_from_command_line
        from django.db import InterfaceError, OperationalError, ProgrammingError

        try:
            execute_from_command_line(sys.argv)
        except (InterfaceError, OperationalError, ProgrammingError) as error:
            if "--traceback" in sys.argv:
                raise
            sys.exit(
                "statekeep: the database can't be used (does it run, is it migrated?): "
                f"{' '.join(str(error).split())}"
            )
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _end_unread()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _end_unread() -> NoReturn:
    """End without a word, as by SIGPIPE: who read the output (`| head`) has gone."""
    # What is still buffered goes nowhere: flushed at the exit, it would fail again.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    sys.exit(128 + signal.SIGPIPE)


if __name__ == "__main__":
    main()
