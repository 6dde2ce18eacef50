"""Management commands, and what they leave behind."""

import errno
import io
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import islice
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone
from django_redis import get_redis_connection

from common.events.models import Event
from connector_state.credentials import live
from connector_state.credentials.issuing import create_connector, rotate_credential
from connector_state.models import Connector, Credential
from connector_state.operator_session import OperatorSession
from connector_state.store import audit, policy
from connector_state.store.keys import connector_keys
from connector_state.store.values import etag_of
from tests.connectors import SigningConnector, redis_keys, tag
from tests.servers import wait_until

pytestmark = pytest.mark.django_db


def run(*arguments: str, **options) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out, stderr=io.StringIO(), **options)
    return out.getvalue()


def run_err(*arguments: str) -> str:
    """What a command says beside its result."""
    err = io.StringIO()
    call_command(*arguments, stdout=io.StringIO(), stderr=err)
    return err.getvalue()


def signer(created: str) -> SigningConnector:
    return SigningConnector(*json.loads(created).values())


def uuid() -> str:
    return str(Connector.objects.get().uuid)


def test_create_connector__prints_what_opens_its_state():
    connector = signer(run("create_connector", "m365", "--json"))
    assert connector.put("v").status_code == 204
    assert connector.secret not in Credential.objects.get().encrypted_secret


class FullDisk(io.StringIO):
    """An output that fails when it is flushed, as a buffered file on a full disk does."""

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("command", ["create_connector", "rotate_credential"])
def test_issued__secret_that_can_not_be_written_is_said_to_be_lost(command):
    if command == "rotate_credential":
        run("create_connector", "m365")
    err = io.StringIO()
    with pytest.raises(OSError, match="No space left"):
        call_command(command, "m365", "--json", stdout=FullDisk(), stderr=err)
    assert f"rotate_credential {uuid()} --overlap 0" in err.getvalue()


def test_create_connector__for_people_and_with_a_uuid():
    wanted = "3F8E0C8E-6f0a-4c8e-9a52-2f1d6c7b9e11"
    text = run("create_connector", "m365", "--uuid", wanted)
    assert wanted.lower() in text
    assert "secret" in text
    with pytest.raises(CommandError, match="already"):
        run("create_connector", "again", "--uuid", wanted)


@pytest.mark.parametrize("group", ["blue", ""])
def test_create_connector__for_a_group_of_tokens(group):
    run("create_connector", "m365", "--group", group)
    assert Connector.objects.get().heartbeat_group == group
    assert Connector.objects.get().enrolment_group is None


def test_create_connector__for_a_group_without_a_token():
    with pytest.raises(CommandError, match="no token of the group 'green'"):
        run("create_connector", "m365", "--group", "green")
    assert not Connector.objects.exists()


def test_create_connector__under_a_name_that_is_taken_warns():
    assert run_err("create_connector", "m365").count("\n") == 1  # to keep the secret
    warned = run_err("create_connector", "m365")
    assert "Another connector is named 'm365' too: commands need the UUID" in warned
    assert Connector.objects.count() == 2


@pytest.mark.parametrize(
    "name", ["", " ", "n" * 256, "a\x1b[0mb", "3f8e0c8e6f0a4c8e9a522f1d6c7b9e11"]
)
def test_create_connector__bad_name(name):
    with pytest.raises(CommandError, match="NAME"):
        run("create_connector", name)


def test_rotate__both_are_good_during_the_overlap(time_machine):
    time_machine.move_to(timezone.now())
    old = signer(run("create_connector", "m365", "--json"))
    new = signer(run("rotate_credential", "m365", "--overlap", "1h", "--json"))
    assert old.uuid == new.uuid
    assert old.put("v").status_code == new.put("v").status_code == 204
    time_machine.shift(timedelta(hours=1, seconds=2))
    assert old.put("v").status_code == 401
    assert new.put("v").status_code == 204


def test_rotate__never_lengthens_a_life(time_machine):
    run("create_connector", "m365")
    run("rotate_credential", "m365", "--expires-in", "10m", "--overlap", "5m")
    before = Credential.objects.first().expires_at
    run("rotate_credential", "m365", "--overlap", "7d")
    assert Credential.objects.filter(expires_at=before).count() == 1
    assert Credential.objects.live().count() == 3


def test_rotate__refuses_a_new_one_that_ends_before_the_others():
    run("create_connector", "m365")
    with pytest.raises(CommandError, match="end before the others"):
        run("rotate_credential", "m365", "--expires-in", "30m", "--overlap", "1h")
    assert Credential.objects.get().expires_at is None


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has one writer")
@pytest.mark.django_db(transaction=True)
def test_rotate__of_two_at_once_one_credential_lives():
    connector = create_connector("m365").connector

    def rotate() -> None:
        rotate_credential(connector, timedelta(0))
        connection.close()

    with ThreadPoolExecutor() as pool:
        with transaction.atomic():
            rotate_credential(connector, timedelta(0))
            second = pool.submit(rotate)
            wait_until(somebody_waits_for_a_lock)
        second.result(20)
    assert connector.credentials.count() == 3
    assert connector.credentials.live().count() == 1


def somebody_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


def test_rotate__by_a_heartbeat_an_enrolled_connector_gets_the_new_one(client):
    body = json.dumps({"name": "m365", "url": "http://x", "uuid": str(uuid4())})
    headers = {"HTTP_X_ENROLLMENT_TOKEN": "enrol-me"}
    path = "/dsx-connect/api/v1/connectors/register"
    first = client.generic("POST", path, body, "application/json", **headers).json()
    rotated = json.loads(run("rotate_credential", "m365", "--json"))
    second = client.generic("POST", path, body, "application/json", **headers).json()
    assert second["hmac_key_id"] == rotated["hmac_key_id"] != first["hmac_key_id"]


def test_revoke__ends_one_credential_alone():
    first = signer(run("create_connector", "m365", "--json"))
    second = signer(run("rotate_credential", "m365", "--json"))
    assert "live credentials left: 1" in run("revoke_credential", first.key_id)
    assert first.get().status_code == 401
    assert second.get().status_code == 200
    with pytest.raises(CommandError, match="no credential"):
        run("revoke_credential", "unknown")


def test_list_connectors__tells_use_and_credentials_and_no_secret():
    connector = signer(run("create_connector", "m365", "--json"))
    connector.put("12345")
    (line,) = run("list_connectors", "--json").splitlines()
    row = json.loads(line)
    assert (row["name"], row["keys"], row["bytes"], row["status"]) == ("m365", 1, 5, "enabled")
    assert row["last_used"] is not None
    assert row["credentials"][0]["last_used"] == row["last_used"]
    table = run("list_connectors")
    assert connector.key_id in table
    assert connector.secret not in line + table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def listed(monkeypatch, width: int) -> tuple[list[str], str]:
    """What a terminal of this width is shown below the head of the table, and what beside it."""
    monkeypatch.setenv("COLUMNS", str(width))
    terminal, err = Terminal(), io.StringIO()
    call_command("list_connectors", stdout=terminal, stderr=err)
    lines = terminal.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    return lines[2:], err.getvalue().strip()


@pytest.mark.parametrize("width", [36, 50, 68, 80, 100, 120, 200])
def test_list_connectors__breaks_no_uuid_and_no_key_id(monkeypatch, width):
    connector = signer(run("create_connector", "a name of many words " * 5, "--json"))
    second = signer(run("rotate_credential", connector.uuid, "--json"))
    rows, _ = listed(monkeypatch, width)
    assert connector.uuid in rows[0]
    if width >= 68:
        assert second.key_id in rows[0]
        assert connector.key_id in rows[1]


def test_list_connectors__on_a_narrow_terminal_says_where_the_rest_is(monkeypatch):
    run("create_connector", "m365")
    said = "For size, keys, last used: a wider terminal, or --json."
    assert listed(monkeypatch, 80)[1] == said
    assert listed(monkeypatch, 160)[1] == ""


def test_list_connectors__has_the_last_use_beside_each_credential():
    old = signer(run("create_connector", "m365", "--json"))
    new = signer(run("rotate_credential", "m365", "--json"))
    old.put("v")
    today = timezone.now().strftime("%Y-%m-%d ")
    (line,) = (line for line in run("list_connectors").splitlines() if old.key_id in line)
    assert today in line
    (line,) = (line for line in run("list_connectors").splitlines() if new.key_id in line)
    assert today not in line


def test_list_connectors__hostile_names_are_escaped():
    Connector.objects.create(name="[red]\x1b[31m[link=http://x]")
    table = run("list_connectors")
    assert "\x1b" not in table
    assert "[red]" in table


def test_reencrypt__and_the_old_key_can_go(settings):
    connector = signer(run("create_connector", "m365", "--json"))
    old, new = settings.CONNECTOR_SECRET_KEYS
    settings.CONNECTOR_SECRET_KEYS = [new, old]
    assert "Encrypted anew: 1" in run("reencrypt_secrets")
    settings.CONNECTOR_SECRET_KEYS = [new]
    assert connector.get().status_code == 200
    settings.CONNECTOR_SECRET_KEYS = [old]
    with pytest.raises(CommandError, match="Not readable, and left as they are: 1"):
        run("reencrypt_secrets")


def test_secret__that_no_key_decrypts_is_503_and_says_what_to_check(settings):
    from cryptography.fernet import Fernet

    connector = signer(run("create_connector", "m365", "--json"))
    settings.CONNECTOR_SECRET_KEYS = [Fernet.generate_key().decode()]
    response = connector.get()
    assert (response.status_code, response.json()["code"]) == (503, "secret_unreadable")


def test_state__get_put_and_delete_are_audited_a_listing_is_not():
    run("create_connector", "m365")
    assert "Stored" in run(
        "state", "put", "m365", "ns", "key", "--value", "line\x1b\n", "--ttl", "60"
    )
    assert run("state", "get", "m365", "ns", "key").strip() == "line\\x1b\\n"
    assert json.loads(run("state", "list", "m365")) == {"namespace": "ns", "keys": 1}
    assert json.loads(run("state", "list", uuid(), "ns"))["key"] == "key"
    assert "Deleted" in run("state", "delete", "m365", "ns", "key", "--yes")
    with pytest.raises(CommandError, match="Nothing is stored"):
        run("state", "get", "m365", "ns", "key")
    done = [(e.operation, e.namespace, e.key) for e in audit.entries(uuid())]
    assert done == [
        ("read", "ns", "key"),
        ("delete", "ns", "key"),
        ("read", "ns", "key"),
        ("put", "ns", "key"),
    ]
    assert {e.by.partition(":")[0] for e in audit.entries(uuid())} == {"operator"}


def test_state__delete_asks_first(monkeypatch):
    run("create_connector", "m365")
    run("state", "put", "m365", "ns", "key", "--value", "v")
    monkeypatch.setattr("builtins.input", lambda question: "no")
    with pytest.raises(CommandError, match="Nothing was deleted"):
        run("state", "delete", "m365", "ns", "key")
    assert run("state", "get", "m365", "ns", "key").strip() == "v"


def test_state__delete_without_a_terminal_wants_to_be_told_yes(monkeypatch):
    run("create_connector", "m365")
    run("state", "put", "m365", "ns", "key", "--value", "v")
    monkeypatch.setattr("sys.stdin", io.StringIO())  # </dev/null
    with pytest.raises(CommandError, match="Nothing was deleted; say --yes"):
        run("state", "delete", "m365", "ns", "key")
    assert run("state", "get", "m365", "ns", "key").strip() == "v"


DELTA = ("m365", "ns", "key")


@pytest.fixture
def overwritten() -> list[dict]:
    """A key of which "one" and "two" were overwritten by "three"; its history as printed."""
    run("create_connector", "m365")
    for value in ("one", "two", "three"):
        run("state", "put", *DELTA, "--value", value)
    return [json.loads(line) for line in run("state", "history", *DELTA).splitlines()]


def test_state__history_lists_what_was_overwritten_and_no_value(overwritten):
    two, one = overwritten
    assert (two["size"], two["expires_at"]) == (3, None)
    assert two["by"].startswith("operator:")
    assert two["written_at"] > one["written_at"]
    assert "read" not in {entry.operation for entry in audit.entries(uuid())}
    assert run("state", "get", *DELTA, "--version", one["etag"]).strip() == "one"
    assert next(audit.entries(uuid())).operation == "read"


def test_state__a_version_that_is_gone_is_an_error_and_holds_nothing(overwritten):
    with pytest.raises(CommandError, match="not kept any more"):
        run("state", "get", *DELTA, "--version", "0" * 40)
    with pytest.raises(CommandError, match="not kept any more"):
        run("state", "restore", *DELTA, "0" * 40, "--hold-writes")
    assert not Connector.objects.get().read_only


def test_state__restore_brings_a_value_back(overwritten):
    etag = overwritten[-1]["etag"]
    assert "Restored" in run("state", "restore", *DELTA, etag)
    assert run("state", "get", *DELTA).strip() == "one"
    assert not Connector.objects.get().read_only
    assert "stored already" in run("state", "restore", *DELTA, etag)


def test_state__restore_of_what_was_deleted_says_when(overwritten):
    run("state", "delete", *DELTA, "--yes")
    assert "It was deleted, or expired, at 20" in run_err("state", "history", *DELTA)
    three = json.loads(run("state", "history", *DELTA).splitlines()[0])
    run("state", "restore", *DELTA, three["etag"])
    assert run("state", "get", *DELTA).strip() == "three"


def test_state__restore_can_hold_the_writes_and_says_how_to_let_go(overwritten, monkeypatch):
    waited = []
    monkeypatch.setattr("time.sleep", waited.append)
    told = run_err("state", "restore", *DELTA, overwritten[0]["etag"], "--hold-writes")
    assert Connector.objects.get().read_only
    assert waited == [policy.EFFECTIVE_SECONDS]
    command = told.partition("manage.py ")[2].split()
    run(*command)
    assert not Connector.objects.get().read_only


def test_state__restore_never_replaces_what_was_written_meanwhile(overwritten, monkeypatch):
    put = OperatorSession.restore

    def restore_late(session, address, *args, **kwargs):
        session.store.put(address, b"meanwhile")
        return put(session, address, *args, **kwargs)

    monkeypatch.setattr(OperatorSession, "restore", restore_late)
    with pytest.raises(CommandError, match="not what the condition names"):
        run("state", "restore", *DELTA, overwritten[0]["etag"])
    assert run("state", "get", *DELTA).strip() == "meanwhile"


def test_state__delete_with_history_is_audited_even_without_a_value(overwritten, monkeypatch):
    asked = []
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or "yes")
    run("state", "delete", *DELTA)
    assert len(run("state", "history", *DELTA).splitlines()) == 3
    run("state", "delete", *DELTA, "--with-history")
    assert ["and its history" in question for question in asked] == [False, True]
    assert run("state", "history", *DELTA) == ""
    erased, deleted = islice(audit.entries(uuid()), 2)
    assert (erased.operation, erased.size, erased.etag) == ("erase", 0, "")
    assert (deleted.operation, deleted.size, deleted.etag) == ("delete", 5, etag_of(b"three"))
    run("state", "put", *DELTA, "--value", "four")
    run("state", "delete", *DELTA, "--with-history", "--yes")
    erased = next(audit.entries(uuid()))
    assert (erased.operation, erased.size, erased.etag) == ("erase", 4, etag_of(b"four"))
    run("state", "delete", *DELTA, "--yes")  # nothing was there
    told = Event.objects.order_by("-id").values_list("message", flat=True)[:4]
    assert [words.partition(" of m365")[0] for words in told] == [
        "Deleted ns / key and its history",
        "Stored ns / key",
        "Deleted ns / key and its history",
        "Deleted ns / key",
    ]


def test_prune_history__forgets_what_expired(overwritten):
    expired = ("m365", "ns", "expired")
    for value in ("a", "b"):
        run("state", "put", *expired, "--value", value, "--ttl", "1")
    assert "0 keys" in run("prune_history")
    wait_until(lambda: "1 key." in run("prune_history"))
    assert len(run("state", "history", *DELTA).splitlines()) == 2
    history = connector_keys(uuid()).named("history")
    assert b"ns:expired" not in get_redis_connection().hkeys(history)


@pytest.mark.parametrize(
    "arguments",
    [
        ("get", "nobody", "ns", "key"),
        ("get", "m365", "n:s", "key"),
        ("put", "m365", "ns", "key"),
        ("put", "m365", "ns", "key", "--value", "x" * 70_000),
        ("put", "m365", "ns", "key", "--value", "x", "--ttl", "0"),
        ("put", "m365", "ns", "key", "--file", "/nowhere"),
        ("put", "m365", "ns", "key", "--file", "/"),
    ],
)
def test_state__bad_input_is_a_line(arguments):
    run("create_connector", "m365")
    with pytest.raises(CommandError):
        run("state", *arguments)


def test_reindex__of_all_reports_those_with_something_new_and_a_total():
    connector = SigningConnector.create("m365")
    SigningConnector.create("untouched")
    redis = get_redis_connection()
    redis.set(f"dsxconnect:connector_state:{tag(connector.uuid)}:m365:delta", "x")
    assert run("reindex_connector_state").splitlines() == [
        f"m365 ({connector.uuid}): added 1, forgot 0 without a value",
        "2 connectors in all: added 1, forgot 0 without a value",
    ]
    assert run("reindex_connector_state").splitlines() == [
        "2 connectors in all: added 0, forgot 0 without a value"
    ]
    (line,) = run("reindex_connector_state", "untouched").splitlines()
    assert line.endswith(": added 0, forgot 0 without a value")


def test_reindex__tells_what_is_no_string_from_what_has_no_address():
    prefix = f"dsxconnect:connector_state:{tag(SigningConnector.create('m365').uuid)}:"
    redis = get_redis_connection()
    redis.rpush(f"{prefix}m365:a-list", "x")
    redis.set(f"{prefix}no namespace", "x")
    redis.set(f"{prefix}nor here", "x")
    skipped = "skipped 1 of another type than string, skipped 2 that no address can name"
    one, total = run("reindex_connector_state").splitlines()
    assert one.endswith(skipped)
    assert total.endswith(skipped)


def test_set_policy__takes_more_bytes_than_the_default_and_no_absurd_number():
    run("create_connector", "m365")
    assert json.loads(run("set_policy", "m365", "--max-bytes", "2147483648"))["max_bytes"] == 2**31
    for number in ("1" * 30, "-1", "x"):
        with pytest.raises(CommandError, match="must be a number"):
            run("set_policy", "m365", "--max-bytes", number)


def test_set_policy__changes_what_is_given_alone():
    connector = signer(run("create_connector", "m365", "--json"))
    live.clear_cache()
    shown = json.loads(run("set_policy", "m365", "--namespaces", "m365,one-*", "--max-keys", "1"))
    assert shown == {
        "name": "m365",
        "enabled": True,
        "read_only": False,
        "allowed_namespaces": ["m365", "one-*"],
        "max_keys": 1,
        "max_bytes": None,
        "max_requests_per_second": None,
    }
    live.clear_cache()
    assert connector.put("v").status_code == 204
    assert connector.put("v", ns="other").json()["code"] == "namespace_not_allowed"
    assert connector.put("v", "second").json()["code"] == "quota_exceeded"
    run("set_policy", "m365", "--max-keys", "default", "--read-only", "--namespaces", "")
    live.clear_cache()
    assert connector.put("v").json()["code"] == "read_only"
    run("set_policy", "m365", "--no-read-only", "--no-enabled")
    live.clear_cache()
    assert connector.get().status_code == 401
    assert json.loads(run("set_policy", "m365", "--enabled"))["read_only"] is False
    changes = Event.objects.filter(message__startswith="Set").count()
    assert json.loads(run("set_policy", "m365"))["enabled"] is True
    assert Event.objects.filter(message__startswith="Set").count() == changes  # to look is none


def test_set_policy__leaves_what_another_operator_changes_meanwhile(monkeypatch):
    connector = Connector.objects.create(name="c")

    def found_before_it_is_disabled(text: str) -> Connector:
        found = Connector.objects.get()
        Connector.objects.update(enabled=False)
        return found

    module = "connector_state.management.base.find_connector"
    monkeypatch.setattr(module, found_before_it_is_disabled)
    call_command("set_policy", "c", max_keys=5, stdout=io.StringIO())
    connector.refresh_from_db()
    assert (connector.enabled, connector.max_keys) == (False, 5)


def test_set_policy__renames():
    run("create_connector", "m365")
    assert json.loads(run("set_policy", "m365", "--name", " contoso "))["name"] == "contoso"
    run("create_connector", "m365")
    assert run_err("set_policy", "m365", "--read-only") == ""
    assert "Another connector is named 'contoso'" in run_err(
        "set_policy", "m365", "--name", "contoso"
    )


def test_set_policy__says_that_a_connector_which_enrols_names_itself():
    SigningConnector.create("m365", enrolment_group="")
    assert "with its next heartbeat" in run_err("set_policy", "m365", "--name", "contoso")


@pytest.mark.parametrize(
    "option",
    [
        ("--name", "a\x1b"),
        ("--name", " "),
        ("--max-keys", "-1"),
        ("--max-bytes", "x"),
        ("--namespaces", "a:b"),
    ],
)
def test_set_policy__bad_values(option):
    run("create_connector", "m365")
    with pytest.raises(CommandError):
        run("set_policy", "m365", "=".join(option))


# --- Audit --------------------------------------------------------------------------------------


def test_audit__who_wrote_or_deleted_what_and_never_the_value(connector):
    etag = connector.put("a secret value")["ETag"].strip('"')
    connector.get()
    connector.delete()
    connector.delete()  # nothing was there: nothing was done
    lines = run("audit_log", connector.uuid)
    deleted, written = (json.loads(line) for line in lines.splitlines())
    assert (written["operation"], written["by"]) == ("put", connector.key_id)
    assert (written["namespace"], written["key"]) == ("m365", "delta")
    assert (written["size"], written["etag"]) == (14, etag)
    assert (deleted["operation"], deleted["size"], deleted["etag"]) == ("delete", 14, etag)
    assert "secret value" not in lines
    stream = redis_keys("*:audit")[0]
    assert b"secret value" not in str(get_redis_connection().xrange(stream)).encode()


def test_audit__can_be_filtered(connector):
    connector.put("v", "a")
    connector.put("v", "b", ns="other")
    (line,) = run("audit_log", connector.uuid, "--key", "a").splitlines()
    assert json.loads(line)["key"] == "a"
    assert len(run("audit_log", connector.uuid, "--limit", "1").splitlines()) == 1
    assert run("audit_log", connector.uuid, "--by", "nobody") == ""
    assert len(run("audit_log", connector.uuid, "--since", "1h").splitlines()) == 2


def test_audit__by_operation(connector):
    connector.put("v")
    connector.delete()
    (line,) = run("audit_log", connector.uuid, "--operation", "delete").splitlines()
    assert json.loads(line)["operation"] == "delete"
    with pytest.raises(CommandError, match="invalid choice: 'foo'"):
        run("audit_log", connector.uuid, "--operation", "foo")


@pytest.mark.parametrize("limit", ["-5", "x", "1.5"])
def test_audit__limit_is_a_number(connector, limit):
    with pytest.raises(CommandError, match="must be a number"):
        run("audit_log", connector.uuid, f"--limit={limit}")


def test_audit__is_bounded_by_length_and_age(connector, settings):
    settings.AUDIT_MAX_ENTRIES = 100
    stream = f"statekeep:{{{connector.uuid}}}:audit"
    for number in range(400):
        connector.put("v", f"k{number}")
    assert get_redis_connection().xlen(stream) < 300  # trimmed by whole nodes of a hundred
    settings.AUDIT_MAX_AGE_SECONDS = -60
    assert list(audit.entries(connector.uuid)) == []
    for _ in range(200):
        connector.put("v")
    assert get_redis_connection().xlen(stream) < 250


def test_audit__pages_through_more_than_one_read(connector, monkeypatch):
    monkeypatch.setattr(audit, "PAGE", 3)
    for number in range(10):
        connector.put("v", f"k{number}")
    keys = [entry.key for entry in audit.entries(connector.uuid)]
    assert keys == [f"k{number}" for number in reversed(range(10))]


def test_progress__on_a_terminal_changes_no_result(tmp_path):
    connector = signer(run("create_connector", "m365", "--json"))
    connector.put("v")
    file = str(tmp_path / "f")
    results = []
    for stderr in (io.StringIO, Terminal):
        for arguments in (
            ("export_state", "m365", "--file", f"{file}{stderr.__name__}"),
            ("import_state", "m365", f"{file}StringIO"),
            ("reindex_connector_state",),
            ("reindex_connector_state", "m365"),
            ("reencrypt_secrets",),
        ):
            out, err = io.StringIO(), stderr()
            call_command(*arguments, stdout=out, stderr=err)
            results.append((arguments[0], out.getvalue(), err.getvalue()))
    assert results[:5] == results[5:]
    assert ("reencrypt_secrets", "Encrypted anew: 1\n", "") in results
