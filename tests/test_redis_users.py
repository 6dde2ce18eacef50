"""Users of Redis with few permissions, on a real Valkey and on Debian's Redis."""

import asyncio
import copy
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.test import Client
from redis import Redis

from chat.api import throttles
from chat.repository import forget_repositories
from connector_state.redis_server.trial import NOBODY
from connector_state.store.calls import Caller
from connector_state.store.keys import Address
from connector_state.store.scripts import connection, retries
from connector_state.store.values import AsyncStateStore
from tests.connectors import PREFIX, SigningConnector
from tests.servers import ROOT, start_valkey

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        bool(django_settings.REDIS_CLUSTER),
        reason="the user of a single Redis; test_redis_cluster_users.py has a cluster's",
    ),
]

ALL = ("~*", "&*", "+@all")
# As docs/stores.md has it.
SMALLEST = (
    *("~dsxconnect:connector_state:*", "~statekeep:*", "~chat:*"),
    *("+@read", "+@write", "+@scripting", "+@transaction", "+@connection", "+time"),
    *("-@dangerous", "+info", "+config|get"),
)


@pytest.fixture(scope="module", params=[None, "redis-server"])
def socket(request, tmp_path_factory) -> Iterator[Path]:
    program = request.param and shutil.which(request.param)
    if request.param and not program:
        pytest.skip("no redis-server here (on Debian: apt-get install redis-server)")
    folder = tmp_path_factory.mktemp("r")
    socket = folder / "s"
    arguments = ("--port", "0", "--unixsocket", str(socket), "--appendonly", "yes")
    server = start_valkey(folder, *arguments, program=program)
    yield socket
    server.terminate()
    server.wait(10)


@pytest.fixture
def be(socket, settings, monkeypatch) -> Iterator[Callable[..., Redis]]:
    """Call it with rules, and the service is a user with these; it returns an administrator."""
    admin = Redis(unix_socket_path=str(socket))
    admin.flushall()

    def be(*rules: str, password: str = "right") -> Redis:
        admin.execute_command("ACL", "SETUSER", "app", "reset", "on", ">right", *rules)
        caches = copy.deepcopy(settings.CACHES)
        caches["default"]["LOCATION"] = f"unix://app:{password}@{socket}"
        settings.CACHES = caches
        monkeypatch.setattr(connection, "_local", threading.local())
        monkeypatch.setattr(retries, "_outage", retries._Outage())
        forget_repositories()
        throttles.forget_limiter()
        return admin

    yield be
    forget_repositories()
    throttles.forget_limiter()


def ready() -> int:
    return Client().get("/readyz").status_code


def check(capsys) -> tuple[int, str]:
    """Return the exit status of check_stores and its line about Redis."""
    try:
        call_command("check_stores")
        status = 0
    except CommandError:
        status = 1
    return status, capsys.readouterr().out.splitlines()[0]


def test_user__without_info_and_config_is_ready(be, capsys):
    be(*ALL, "-@dangerous")
    assert SigningConnector.create().put("kept").status_code == 204
    assert ready() == 200
    status, line = check(capsys)
    assert (status, line[:7]) == (0, "WARNING")
    assert "may not call INFO" in line


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        ((*ALL, "-@scripting"), "eval"),
        ((*ALL, "-xadd"), ""),
        ((*ALL, "-time"), ""),
        ((*ALL, "resetkeys", "~dsxconnect:*"), "key"),
        ((*ALL, "resetkeys", "~statekeep:*"), "key"),
        ((*ALL, "resetkeys", "%R~*"), "key"),
        ((*ALL, "-@write"), ""),
    ],
)
def test_user__that_may_not_do_what_a_call_does(be, capsys, settings, rules, named):
    be(*rules)
    settings.REDIS_RETRY_SECONDS = 8
    connector, began = SigningConnector.create(), time.monotonic()
    response = connector.put("kept")
    assert (response.status_code, response.json()["code"]) == (503, "store_denied")
    assert time.monotonic() - began < 6  # it was not tried again for 8 s

    async def put() -> None:
        caller = Caller.operator("tests")
        await AsyncStateStore(connector.uuid, caller).put(Address("m365", "delta"), b"v")

    with pytest.raises(Exception, match="refuses this service a command or a key"):
        asyncio.run(put())
    assert ready() == 503
    status, line = check(capsys)
    assert (status, line[:6]) == (1, "FAILED")
    assert "may not do what a call does" in line
    assert named in line


def test_user__with_a_wrong_password(be, capsys, settings):
    be(*ALL, password="wrong")
    settings.REDIS_RETRY_SECONDS = 8
    began = time.monotonic()
    response = SigningConnector.create().put("kept")
    assert (response.status_code, response.json()["code"]) == (503, "store_denied")
    assert time.monotonic() - began < 6
    assert ready() == 503
    status, line = check(capsys)
    assert status == 1
    assert "refuses the user or the password of REDIS_URL" in line


def test_user__with_the_smallest_permissions_can_do_all(be, capsys, settings):
    admin = be(*SMALLEST)
    documented = (ROOT / "docs" / "stores.md").read_text()
    assert " ".join(SMALLEST) in " ".join(documented.replace("\\\n", " ").split())
    settings.CHAT_RATE_PER_MINUTE = 10
    admin.execute_command("ACL", "LOG", "RESET")
    connector = SigningConnector.create()
    assert connector.put("kept", query="?ttl=600").status_code == 204
    assert connector.get().json()["value"] == "kept"
    assert connector.call("GET", f"{PREFIX}/state/{connector.uuid}").status_code == 200
    assert connector.delete().status_code == 204
    headers = {"HTTP_X_ENROLLMENT_TOKEN": "enrol-me"}
    body = {"name": "n", "url": "http://c"}
    enrolled = Client().post(f"{PREFIX}/register", body, "application/json", **headers)
    assert enrolled.status_code == 201
    assert ready() == 200
    assert check(capsys)[0] == 0
    for command in ("list_connectors", "record_daily_figures", "reindex_connector_state"):
        call_command(command)
    call_command("set_policy", connector.uuid, "--no-enabled")
    call_command("audit_log", connector.uuid)
    throttles.check_rate("alice")
    assert admin.execute_command("ACL", "LOG") == []  # nothing was refused
    left = [key for key in admin.scan_iter(f"*{NOBODY}*") if b":nonce:" not in key]
    assert left == []  # by the checks


def test_redis__whose_writes_are_paused_is_ready(be, capsys):
    admin = be(*ALL)
    assert ready() == 200  # its scripts are loaded
    admin.client_pause(60_000, all=False)
    try:
        assert ready() == 200
        status, line = check(capsys)
    finally:
        admin.client_unpause()
    assert (status, line[:6]) == (1, "UNSAFE")
    assert "lets writes wait" in line


@pytest.mark.parametrize("renamed", [("INFO", "CONFIG", "KEYS", "FLUSHALL"), ("CONFIG",)])
def test_redis__with_renamed_commands(tmp_path, settings, capsys, be, renamed):
    arguments = [word for name in renamed for word in ("--rename-command", name, f"my-{name}")]
    socket = tmp_path / "s"
    server = start_valkey(tmp_path, "--port", "0", "--unixsocket", str(socket), *arguments)
    try:
        be(*ALL)
        settings.CACHES["default"]["LOCATION"] = f"unix://{socket}"
        assert SigningConnector.create().put("kept").status_code == 204
        assert ready() == 200
        assert check(capsys)[0] == 0
    finally:
        server.terminate()
        server.wait(10)
