"""What `make run` prints, and the demo accounts that it makes for a newcomer.

Demo accounts exist with the embedded stores alone, with random passwords, and are made once.
"""

import json
import os
import secrets
import shlex
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction

from config.files import write_private
from connector_state.credentials import create_connector

DEMO_FILE = "demo.json"
OPERATOR = "operator"


def introduction(data_dir: Path, url: str) -> str:
    """Return what a newcomer needs next."""
    lines = [
        "",
        f"Statekeep is up:  {url}",
        f"  admin          {url}/admin/",
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
    demo = json.loads(path.read_text())
    shown = shlex.quote(os.path.relpath(path, settings.BASE_DIR))
    manage = ".venv/bin/python manage.py"
    if data_dir != settings.BASE_DIR / "var":
        manage = f"DATA_DIR={shlex.quote(str(data_dir))} {manage}"
    sign = f"{manage} sign --credentials {shown}"
    value_url = f"{url}/dsx-connect/api/v1/connectors/state/{demo['connector_uuid']}/m365/delta"
    put, get = (
        f'-H "$({sign} {call})" {value_url}'
        for call in (f"PUT {value_url} --data my-delta-token", f"GET {value_url}")
    )
    return [
        f"  operator       {demo['operator']}, password {demo['password']}",
        f"  demo connector {demo['connector_uuid']}",
        f"    key id       {demo['hmac_key_id']}",
        f"    secret       {demo['hmac_secret']}",
        f"  (both are kept in {shown})",
        "",
        "Store a value, and read it back, in another terminal in this folder:",
        "",
        f"  curl -i -X PUT --data my-delta-token {put}",
        "",
        f"  curl {get}",
    ]


def _create_accounts(path: Path) -> None:
    """Make operator and connector. The file comes last, so that a crash makes them anew."""
    password = secrets.token_urlsafe(12)
    with transaction.atomic():
        users = get_user_model().objects
        operator, _ = users.get_or_create(
            username=OPERATOR, defaults={"is_staff": True, "is_superuser": True}
        )
        operator.set_password(password)
        operator.save()
        issued = create_connector("Demo connector")
        demo = {"operator": OPERATOR, "password": password, **issued.as_json()}
        write_private(path, json.dumps(demo, indent=2) + "\n")
