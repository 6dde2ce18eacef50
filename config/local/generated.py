"""DATA_DIR/settings.env: what `make run` chose and generated, for itself and for manage.py."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from cryptography.fernet import Fernet
from dotenv import dotenv_values

from config.local.files import write_private

BASE_DIR = Path(__file__).resolve().parents[2]
FILE = "settings.env"
# Where conversations are. `dapr run` gives the sidecar another port each time, unless told.
CONVERSATION_STORE = (
    "CHAT_STATE_STORE",
    "DAPR_HTTP_PORT",
    "DAPR_HTTP_ENDPOINT",
    "DAPR_RUNTIME_HOST",
    "DAPR_STATE_STORE_NAME",
)

# Within double quotes; a newline as it stands would be read, but not a carriage return.
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r"})


def path(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the path of the generated settings, in the DATA_DIR of the environment."""
    data_dir = Path(environ.get("DATA_DIR") or "var").expanduser()
    return (BASE_DIR / data_dir).resolve() / FILE


def uses_external_stores(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment names a Redis or a database of its own."""
    return bool(environ.get("REDIS_URL") or environ.get("DATABASE_URL"))


def announces_chat_store(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment says where conversations are: by name, or by a sidecar's address."""
    return any(
        environ.get(name) for name in ("CHAT_STATE_STORE", "DAPR_HTTP_ENDPOINT", "DAPR_HTTP_PORT")
    )


def read(file: Path) -> dict[str, str]:
    """Return what was generated; nothing where `make run` never was.

    Values are taken as they stand: a `${X}` in a secret is part of it.
    """
    return {name: value or "" for name, value in dotenv_values(file, interpolate=False).items()}


def complete(recorded: Mapping[str, str], *, embedded: bool) -> dict[str, str]:
    """Return what is recorded with the choices of this run, and secrets for what is missing.

    Secrets are generated for the embedded stores alone; with stores of their own, operators bring
    their own. The conversation store of this run is recorded for `manage.py`: a command that purged
    by another store's answers would delete what is there.
    """
    settings = dict(recorded)
    settings["STORES"] = "embedded" if embedded else "external"
    settings |= {name: os.environ.get(name, "") for name in CONVERSATION_STORE}
    settings["CHAT_STATE_STORE"] = settings["CHAT_STATE_STORE"] or "dapr"
    if embedded:
        settings.setdefault("SECRET_KEY", secrets.token_urlsafe(48))
        settings.setdefault("CONNECTOR_SECRET_KEYS", Fernet.generate_key().decode())
        settings.setdefault("JWT_SIGNING_KEY", secrets.token_urlsafe(48))
    return settings


def write(file: Path, settings: Mapping[str, str]) -> None:
    """Write settings so that `read` returns the same."""
    lines = "".join(f'{name}="{value.translate(_ESCAPES)}"\n' for name, value in settings.items())
    write_private(
        file, f"# Written by `make run`. Keep it: it holds the keys to what is stored.\n{lines}"
    )
