"""The text that `make run` prints, and the demo accounts that it creates.

The accounts have random passwords. They are created once, and only with the embedded stores.
"""

import json
import os
import secrets
import shlex
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction

from config.local.exits import fail
from config.local.files import write_private
from config.local.generated import BASE_DIR
from connector_state.credentials.issuing import create_connector

DEMO_FILE = "demo.json"
OPERATOR = "operator"
CHAT_USER = "demo"
NAMES = (
    *("operator", "password", "connector_uuid", "hmac_key_id", "hmac_secret"),
    *("chat_user", "chat_password"),
)


def introduction(data_dir: Path, url: str) -> str:
    """Return the text for a newcomer: addresses, accounts, and commands to try."""
    lines = [
        "",
        f"Statekeep is up:  {url}",
        f"  admin          {url}/admin/",
        *([] if settings.JWT_JWKS_URL else [f"  chat           {url}/chat/"]),
        f"  health         {url}/readyz",
    ]
    if settings.ENV.stores == "embedded":
        lines += _demo_lines(data_dir, url)
    lines += ["", "Ctrl-C stops everything. Everything it wrote is in " + str(data_dir), ""]
    return "\n".join(lines)


def _demo_lines(data_dir: Path, url: str) -> list[str]:
    path = data_dir / DEMO_FILE
    if not path.exists():
        _create_accounts(path)
    demo = _read(path)
    shown = shlex.quote(os.path.relpath(path, BASE_DIR))
    manage = ".venv/bin/python manage.py"
    if data_dir != BASE_DIR / "var":
        manage = f"DATA_DIR={shlex.quote(str(data_dir))} {manage}"
    sign = f"{manage} sign --credentials {shown}"
    value_url = f"{url}/dsx-connect/api/v1/connectors/state/{demo['connector_uuid']}/m365/delta"
    put = f'-H "$({sign} PUT {value_url} --data my-delta-token)" {value_url}'
    get = f'-H "$({sign} GET {value_url})" {value_url}'
    return [
        f"  operator       {demo['operator']}, password {demo['password']}",
        f"  demo connector {demo['connector_uuid']}",
        f"    key id       {demo['hmac_key_id']}",
        f"    secret       {demo['hmac_secret']}",
        f"  chat user      {demo['chat_user']}, password {demo['chat_password']}",
        f"  (all of them are kept in {shown})",
        "",
        "Store a value, and read it back, in another terminal in this folder:",
        "",
        f"  curl -i -X PUT --data my-delta-token {put}",
        "",
        f"  curl -w '\\n' {get}",
        *_chat_lines(demo, url),
    ]


def _chat_lines(demo: dict[str, str], url: str) -> list[str]:
    """Return a line to paste that gets a token and chats."""
    if settings.JWT_JWKS_URL:  # another server issues the tokens
        return []
    json_header = "-H 'Content-Type: application/json'"
    login = json.dumps({"username": demo["chat_user"], "password": demo["chat_password"]})
    message = json.dumps({"message": "Add task: Buy groceries"})
    only_access = 'sed \'s/.*"access": *"//; s/".*//\''
    token = f"curl -s {url}/api/token/ {json_header} -d '{login}' | {only_access}"
    return [
        "",
        "Chat:",
        "",
        f"  TOKEN=$({token}); curl -i -w '\\n' {url}/api/{demo['chat_user']}/chat "
        f"-H \"Authorization: Bearer $TOKEN\" {json_header} -d '{message}'",
    ]


def _read(path: Path) -> dict[str, str]:
    try:
        demo = json.loads(path.read_text(encoding="utf-8"))
        return {name: demo[name] + "" for name in NAMES}  # each is text
    except (ValueError, KeyError, TypeError):
        fail(f"{path} is damaged: remove it, and `make run` makes other passwords")


def _create_accounts(path: Path) -> None:
    """Create the operator, the chat user and the connector, and write them to the file."""
    password, chat_password = secrets.token_urlsafe(12), secrets.token_urlsafe(12)
    with transaction.atomic():
        _save_user(OPERATOR, password, is_operator=True)
        _save_user(CHAT_USER, chat_password, is_operator=False)
        demo = {
            "operator": OPERATOR,
            "password": password,
            **create_connector("Demo connector").as_json(),
            "chat_user": CHAT_USER,
            "chat_password": chat_password,
        }
    # After the commit: if it ends in between, the next run makes other passwords and writes them.
    # The other way round it would print passwords that never work.
    write_private(path, json.dumps(demo, indent=2) + "\n")


def _save_user(username: str, password: str, *, is_operator: bool) -> None:
    # A user of that name may be left from a run whose file was deleted.
    user, _ = get_user_model().objects.get_or_create(username=username)
    user.is_staff = user.is_superuser = is_operator
    user.set_password(password)
    user.save()
