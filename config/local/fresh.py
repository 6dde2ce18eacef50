"""Django's own commands on a fresh clone, before any `make run`: with SQLite and without Redis."""

import os
import sys
from collections.abc import Sequence

from config.local import generated
from config.local.run import choose_chat_store

# These begin the database, so the secrets to read it with later are kept.
KEEP_SECRETS = frozenset({"migrate", "runserver"})
NEED_NO_STORE = frozenset(
    {"check", "collectstatic", "findstatic", "help", "makemigrations", "test", "version"}
    | {"--help", "-h", "--version"}
)


def prepare(arguments: Sequence[str]) -> None:
    """Generate the secrets as `make run` does, where a command of Django's finds none.

    Commands of this project get none: with another DATA_DIR than the server's they would work on
    an empty database, and nobody would notice.

    Args:
        arguments: as in sys.argv.
    """
    command = arguments[1] if len(arguments) > 1 else "help"
    file = generated.path()
    if generated.uses_external_stores() or file.exists():
        return
    if command not in KEEP_SECRETS | NEED_NO_STORE:
        return
    choose_chat_store()
    settings = generated.complete({}, embedded=True)
    if command in KEEP_SECRETS:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        generated.write(file, settings)
        sys.stderr.write(
            f"statekeep: no `make run` has been in {file.parent} yet: SQLite is made there, and "
            "Redis is lacking, so state calls get 503 until `make run` starts it\n"
        )
    else:
        for name, value in settings.items():
            os.environ.setdefault(name, value)
