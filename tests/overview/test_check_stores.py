"""`check_stores`: what monitoring runs."""

import json
import time

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from django_redis import get_redis_connection

from common.events.models import Event
from connector_state.models import Credential
from overview.health import probes
from overview.health.probes import Probe
from tests.chat.drive import ask, put_raw
from tests.chat.operators import dead
from tests.connectors import SigningConnector
from tests.outages import AWAY, frozen_port, move_conversations, move_redis

pytestmark = pytest.mark.django_db(transaction=True)

ALL = ["redis", "database", "conversations", "model", "migrations", "secrets", "repairs"]


def check(capsys, *arguments: str, fails: str = "") -> str:
    if fails:
        with pytest.raises(CommandError, match=fails):
            call_command("check_stores", *arguments)
    else:
        call_command("check_stores", *arguments)
    return capsys.readouterr().out


def checks(capsys, fails: str = "") -> dict[str, dict[str, object]]:
    found = json.loads(check(capsys, "--json", fails=fails))
    assert found["ok"] == (not fails)
    return found["checks"]


def test_check__one_line_each(capsys):
    SigningConnector.create()
    lines = check(capsys).splitlines()
    assert len(lines) == len(ALL)
    assert lines[0].startswith("WARNING  Redis               Valkey")
    assert "append-only file is off" in lines[0]
    assert lines[1].startswith("ok       Database")
    assert "the built-in assistant" in lines[3]
    assert "all applied" in lines[4]
    assert "all 1 can be decrypted" in lines[5]


def test_check__warnings_end_with_1_only_if_strict(capsys):
    check(capsys)
    check(capsys, "--strict", fails="Look at: Redis.")


def test_check__a_connector_that_registers_and_never_signs_is_a_warning(capsys):
    connector = SigningConnector.create("m365", heartbeat_group="blue", last_seen_at=timezone.now())
    SigningConnector.create("not seen yet", heartbeat_group="blue")
    SigningConnector.create("enrolled", enrolment_group="blue", last_seen_at=timezone.now())
    found = checks(capsys)["secrets"]
    assert found["state"] == "warning"
    (problem,) = found["problems"]
    assert problem.startswith("1 connector registers, but never signed")
    assert problem.endswith(f"read no cursor: {connector.uuid}.")
    connector.get()
    assert checks(capsys)["secrets"]["state"] == "ok"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (("maxmemory-policy", "allkeys-lru"), "maxmemory-policy is allkeys-lru"),
        (("save", ""), "a restart loses everything"),
    ],
)
def test_check__a_redis_that_loses_what_is_stored_ends_with_1(capsys, setting, words):
    redis, (name, value) = get_redis_connection(), setting
    before = redis.config_get(name)[name]
    redis.config_set(name, value)
    try:
        line = check(capsys, fails="Look at: Redis.").splitlines()[0]
    finally:
        redis.config_set(name, before)
    assert line.startswith("UNSAFE   Redis               Valkey")
    assert words in line


def test_check__says_what_keeps_a_good_redis_safe(capsys):
    redis = get_redis_connection()
    redis.config_set("appendonly", "yes")
    try:
        redis.config_set("appendfsync", "always")
        line = check(capsys, "--strict").splitlines()[0]
        redis.config_set("appendfsync", "everysec")
        lossy = check(capsys).splitlines()[0]
    finally:
        redis.config_set("appendonly", "no")
    assert line.startswith("ok")
    assert "noeviction, append-only file on (" in line
    assert lossy.startswith("WARNING")
    assert "append-only file on, appendfsync everysec" in lossy
    assert "Set appendfsync always." in lossy


def test_check__as_json(capsys):
    found = checks(capsys)
    assert list(found) == ALL
    assert {one["state"] for one in found.values()} == {"ok", "warning"}


def test_check__what_is_away(capsys, settings):
    move_redis(settings, AWAY)
    move_conversations(settings, AWAY)
    settings.OPENAI_BASE_URL = f"http://127.0.0.1:{AWAY}/v1"
    found = checks(capsys, fails="Look at: Redis, Conversation store, Model")
    failed = [name for name, one in found.items() if one["state"] == "failed"]
    assert failed == ["redis", "conversations", "model"]
    assert "set CHAT_STATE_STORE=redis" in found["conversations"]["description"]


def test_check__what_is_frozen(capsys, settings):
    with frozen_port() as port:
        move_redis(settings, port)
        began = time.monotonic()
        found = checks(capsys, fails="Look at: Redis.")
    assert found["redis"]["description"] == "It did not answer in time."
    assert time.monotonic() - began < probes.PROBE_SECONDS + 3  # the requirement: all at once


def test_check__without_the_database_the_rest_of_it_is_not_asked(capsys, monkeypatch):
    def fail():
        raise OSError("gone")

    broken = Probe("database", "Database", fail)
    monkeypatch.setattr(probes, "STORES", (probes.REDIS, broken))
    assert list(checks(capsys, fails="Look at: Database.")) == ["redis", "database"]
    monkeypatch.undo()
    check(capsys)
    assert Event.objects.get().message == "Database: no answer."


def test_check__secrets_that_no_key_decrypts(capsys):
    connector = SigningConnector.create()
    SigningConnector.create()
    Credential.objects.filter(key_id=connector.key_id).update(encrypted_secret="not ours")
    (line,) = (
        line
        for line in check(capsys, fails="Look at: Credentials.").splitlines()
        if "Credentials" in line
    )
    assert line.startswith("FAILED")
    assert f"1 of 2 can't be decrypted by any of CONNECTOR_SECRET_KEYS: {connector.key_id}." in line
    assert connector.secret not in line


def test_check__migrations_that_are_not_applied(capsys):
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'overview'")
        number = cursor.rowcount
    try:
        lines = check(capsys, fails="Look at: Migrations.").splitlines()
        assert f"{number} are not applied" in lines[-1]  # tables may be missing for more probes
    finally:
        call_command("migrate", "overview", fake=True, verbosity=0)


OK = {"choices": [{"message": {"content": "OK"}}]}


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        ((200, OK), "ok", "good at 127.0.0.1"),
        ((200, {"choices": []}), "failed", "answers, but a chat can't use it: choices is empty."),
        ((200, {"data": [{"id": "good"}]}), "failed", "a chat can't use it: choices is missing."),
        ((404, {}), "failed", "answers with status 404."),
        ((401, {}), "failed", "refuses OPENAI_API_KEY"),
        ((503, {}), "failed", "answers with status 503."),
        (
            (400, {"error": {"code": "tools_unsupported", "message": "No tools here"}}),
            "failed",
            "answers with status 400 (tools_unsupported: No tools here).",
        ),
    ],
)
def test_model__by_what_its_server_says(capsys, settings, httpserver_of, answer, state, words):
    settings.OPENAI_BASE_URL, asked = httpserver_of(*answer)
    settings.OPENAI_API_KEY = "secret-word"
    settings.CHAT_MODEL = "good"
    out = check(capsys, "--json", fails="Model" if state == "failed" else "")
    model = json.loads(out)["checks"]["model"]
    assert model["state"] == state
    assert words in model["description"]
    assert "secret-word" not in out
    assert asked == [("/v1/chat/completions", "Bearer secret-word")]


def test_model__is_asked_once_for_many_looks_at_the_start_page(settings, httpserver_of):
    """Each question costs tokens. A failure is looked at again, so that its end shows."""
    answer = {"choices": [{"message": {"content": "OK"}}]}
    settings.OPENAI_BASE_URL, asked = httpserver_of(200, answer)
    assert [probes.examine([probes.MODEL])[0].state for _ in range(3)] == ["ok"] * 3
    assert [path for path, _ in asked] == ["/v1/chat/completions"]
    settings.OPENAI_BASE_URL, asked = httpserver_of(503, {})
    assert [probes.examine([probes.MODEL])[0].state for _ in range(2)] == ["failed"] * 2
    assert len(asked) >= 2


def test_check__the_redis_of_a_dsx_connect(dsx_connect, settings, capsys):
    assert checks(capsys)["dsx_connect"]["state"] == "ok"
    settings.DSX_CONNECT_ENV = "dev"  # whose keys its user may not read
    found = checks(capsys, fails="Look at: dsx-connect's Redis.")["dsx_connect"]
    assert "may not GET and HMGET" in str(found["description"])
    settings.DSX_CONNECT_REDIS_URL = f"redis://user:secret@127.0.0.1:{AWAY}/0"
    found = checks(capsys, fails="Look at: dsx-connect's Redis.")["dsx_connect"]
    assert "can't be reached" in str(found["description"])


def test_check__what_waits_for_an_operator_is_a_warning(capsys):
    assert checks(capsys)["repairs"]["state"] == "ok"
    put_raw(b"corrupt")
    ask("waits")
    dead(ask("refused", "c2"))
    found = checks(capsys)["repairs"]
    assert found["state"] == "warning"
    assert found["problems"] == [
        "1 in quarantine and 1 dead letter wait for an operator, in admin."
    ]
