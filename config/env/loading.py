"""Read the environment, completed by what `make run` recorded.

The environment comes first. With the embedded stores (neither REDIS_URL nor DATABASE_URL is set),
what `make run` recorded in DATA_DIR/settings.env, such as the secrets that it generated, completes
it.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from common.validation import first_error
from config.env.environment import Environment
from config.local import generated


def load(recorded: Mapping[str, str] | None = None) -> Environment:
    """Read and check the environment.

    Args:
        recorded: what `make run` recorded; by default it is read from its file.

    Raises:
        SystemExit: with one line that names a variable and says what is wrong with it.
    """
    file = generated.path()
    if recorded is None:
        recorded = generated.read(file)
    external = generated.uses_external_stores()
    if not external and recorded.get("STORES") == "external":
        raise SystemExit(
            f"statekeep: the last `make run` in {file.parent} used REDIS_URL or DATABASE_URL; "
            "set the same variables (and secrets) here, or run `make run` without them"
        )
    try:
        if external:
            return Environment(stores="external", **_recorded_chat_store(recorded))
        return Environment(**_recorded_values(recorded))
    except ValidationError as error:
        raise SystemExit(f"statekeep: {_explain(error, external, file)}") from None


def _recorded_chat_store(recorded: Mapping[str, str]) -> dict[str, Any]:
    """Return the conversation store of the last `make run`, if that had external stores too."""
    # Beside REDIS_URL or DATABASE_URL nothing else of the file counts. But a command that looked
    # for conversations in another store than the server does would take them all for deleted.
    if generated.announces_chat_store() or recorded.get("STORES") != "external":
        return {}
    return {
        name.lower(): recorded[name]
        for name in generated.CONVERSATION_STORE
        if recorded.get(name) and not os.environ.get(name)
    }


def _recorded_values(recorded: Mapping[str, str]) -> dict[str, Any]:
    """Return the recorded values of the variables that the environment does not set."""
    # pydantic-settings could read the file by itself, but it would expand `${X}` in a value.
    given = {name.lower() for name, value in os.environ.items() if value}
    if generated.announces_chat_store():
        given |= {name.lower() for name in generated.CONVERSATION_STORE}
    missing = set(Environment.model_fields) - given
    return {
        name.lower(): value for name, value in recorded.items() if value and name.lower() in missing
    }


def _explain(error: ValidationError, external: bool, file: Path) -> str:
    """Return a validation error in one line, without the value, which may be a secret."""
    place, message = first_error(error, Environment.model_fields)
    name = place.partition(".")[0].upper()
    if error.errors(include_input=False, include_url=False)[0]["type"] != "missing":
        return f"{name}: {message}" if name else message
    if external:
        return f"{name} is not set; beside REDIS_URL or DATABASE_URL the environment has to set it"
    return (
        f"{name} is not set, nor generated in {file}. On a server, load its environment; "
        "if `make run` has another folder, set DATA_DIR; otherwise `make run` generates it"
    )
