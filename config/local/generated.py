"""DATA_DIR/settings.env: the settings that `make run` chose and generated; manage.py reads them."""

import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from cryptography.fernet import Fernet
from dotenv.parser import parse_stream

from config.local.exits import fail
from config.local.files import write_private

BASE_DIR = Path(__file__).resolve().parents[2]
FILE = "settings.env"
DATABASE_FILE = "db.sqlite3"
# The settings of the conversation store. `dapr run` gives the sidecar a new port each time.
CONVERSATION_STORE = (
    "CHAT_STATE_STORE",
    "DAPR_HTTP_PORT",
    "DAPR_HTTP_ENDPOINT",
    "DAPR_RUNTIME_HOST",
    "DAPR_STATE_STORE_NAME",
)

# The escapes within double quotes. Without them a carriage return would be lost.
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r"})


def path() -> Path:
    """Return the path of settings.env in the environment's DATA_DIR, `var` by default.

    Raises:
        SystemExit: with one line, if DATA_DIR can't be used.
    """
    text = os.environ.get("DATA_DIR") or "var"
    # Neither URLs nor Valkey's options can hold these; lone surrogates are bytes that no text has.
    if re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", text):
        fail(f"DATA_DIR must be UTF-8 without control characters, not {text!a}")
    try:
        return (BASE_DIR / Path(text).expanduser()).resolve() / FILE
    except (OSError, RuntimeError) as error:  # "~nobody", or links in a circle
        fail(f"DATA_DIR: {error}")


def uses_external_stores() -> bool:
    """Tell whether the environment sets REDIS_URL, REDIS_CLUSTER or DATABASE_URL."""
    return any(map(os.environ.get, ("REDIS_URL", "REDIS_CLUSTER", "DATABASE_URL")))


def announces_chat_store() -> bool:
    """Tell whether the environment chooses the store of conversations, or announces a sidecar."""
    return any(map(os.environ.get, ("CHAT_STATE_STORE", "DAPR_HTTP_ENDPOINT", "DAPR_HTTP_PORT")))


def read(file: Path) -> dict[str, str]:
    """Return the settings in the file; an empty dict if there is none.

    Raises:
        SystemExit: with one line, if the file is damaged.
    """
    try:
        with file.open(encoding="utf-8") as lines:
            found = list(parse_stream(lines))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeError) as error:
        fail(f"{file} can't be read ({error}): restore it from a backup")
    for binding in found:
        # dotenv_values would warn, and a secret that is lost would be replaced by another one.
        if binding.error or (binding.key and binding.value is None):
            fail(f"{file} is damaged in line {binding.original.line}: restore it from a backup")
    # Without interpolation: a `${X}` in a secret is part of the secret.
    return {binding.key: binding.value or "" for binding in found if binding.key}


def complete(recorded: Mapping[str, str], *, embedded: bool) -> dict[str, str]:
    """Return the recorded settings with the choices of this run.

    Missing secrets are generated, but only for the embedded stores: with external stores the
    operator has to set them.
    """
    settings = dict(recorded)
    settings["STORES"] = "embedded" if embedded else "external"
    # For manage.py: a purge that asks another store than the server uses would find nothing there.
    settings |= {name: os.environ.get(name, "") for name in CONVERSATION_STORE}
    settings["CHAT_STATE_STORE"] = settings["CHAT_STATE_STORE"] or "dapr"
    if embedded:
        settings.setdefault("SECRET_KEY", secrets.token_urlsafe(48))
        settings.setdefault("CONNECTOR_SECRET_KEYS", Fernet.generate_key().decode())
        settings.setdefault("JWT_SIGNING_KEY", secrets.token_urlsafe(48))
    return settings


def write(file: Path, settings: Mapping[str, str]) -> None:
    """Write the settings to the file, so that `read` returns the same ones."""
    lines = "".join(f'{name}="{value.translate(_ESCAPES)}"\n' for name, value in settings.items())
    write_private(
        file, f"# Written by `make run`. Keep it: it holds the keys to what is stored.\n{lines}"
    )
