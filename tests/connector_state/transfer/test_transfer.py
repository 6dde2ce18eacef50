"""Export and import: what goes out comes back, and nothing else gets in."""

import base64
import errno
import io
import json
import os
import stat
import sys
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django_redis import get_redis_connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.events.models import Event
from connector_state.errors import Forbidden, InvalidRequest, Unavailable
from connector_state.models import Connector
from connector_state.operator_session import OperatorSession
from connector_state.store import audit
from connector_state.store.calls import Caller, Limits
from connector_state.store.keys import Address
from connector_state.store.scripts import connection
from connector_state.store.values import StateStore
from connector_state.transfer import importing
from connector_state.transfer.exporting import export
from connector_state.transfer.importing import Imported, header_of, import_file, preview
from tests.connectors import SigningConnector, tag
from tests.operators import connector_staff

UUID = "3f8e0c8e-6f0a-4c8e-9a52-2f1d6c7b9e11"
OTHER = "3f8e0c8e-6f0a-4c8e-9a52-2f1d6c7b9e12"
PREFIX = f"dsxconnect:connector_state:{tag(UUID)}:"
SECRET = "a-secret-token"


def session(uuid: str = UUID, **limits: int) -> OperatorSession:
    return OperatorSession(uuid, "tests", Limits(**limits))


def put(namespace: str, key: str, value: bytes, ttl: int | None = None, uuid: str = UUID) -> None:
    StateStore(uuid, Caller.operator("tests")).put(Address(namespace, key), value, ttl)


def exported(uuid: str = UUID, namespace: str | None = None) -> bytes:
    return b"".join(export(session(uuid), namespace))


def imported(
    file: bytes, target: OperatorSession | None = None, *, overwrite: bool = False
) -> Imported:
    total = Imported()
    for _ in import_file(target or session(), io.BytesIO(file), total, overwrite=overwrite):
        pass
    return total


def compared(file: bytes) -> Imported:
    total = Imported()
    for _ in preview(session(), io.BytesIO(file), total):
        pass
    return total


def standing(uuid: str = UUID) -> dict[bytes, bytes]:
    prefix = f"dsxconnect:connector_state:{tag(uuid)}:"
    redis = get_redis_connection()
    return {
        key.removeprefix(prefix.encode()): redis.get(key) for key in redis.scan_iter(f"{prefix}*")
    }


def lines(file: bytes) -> list[dict]:
    return [json.loads(line) for line in file.splitlines()]


def made(*keys: dict, count: int | None = None, connector: str = UUID) -> bytes:
    header = {
        "type": "header",
        "format": "statekeep-export",
        "version": 1,
        "connector": connector,
        "exported_at": "2026-01-01T00:00:00Z",
        "namespace": None,
    }
    whole = [header, *keys, {"type": "end", "count": len(keys) if count is None else count}]
    return b"".join(json.dumps(line).encode() + b"\n" for line in whole)


def key_of(**fields) -> dict:
    return {
        "type": "key",
        "namespace": "ns",
        "key": "k",
        "value": "v",
        "expires_at": None,
        **fields,
    }


# --- The format ---------------------------------------------------------------------------------


def test_export__is_json_lines_with_a_header_and_the_count():
    put("m365", "delta", "é\x1b\x7f".encode())
    put("m365", "ends", b"v", 60)
    put("other", "binary", b"\xff\0")
    file = exported()
    header, first, second, third, end = lines(file)
    assert (header["format"], header["version"], header["connector"]) == (
        "statekeep-export",
        1,
        UUID,
    )
    assert header["namespace"] is None
    assert first == {
        "type": "key",
        "namespace": "m365",
        "key": "delta",
        "value": "é\x1b\x7f",
        "expires_at": None,
    }
    left = datetime.fromisoformat(second["expires_at"]) - datetime.now(UTC)
    assert timedelta(seconds=55) < left <= timedelta(seconds=61)
    assert base64.b64decode(third["value_base64"]) == b"\xff\0"
    assert end == {"type": "end", "count": 3}
    assert all(0x20 <= byte < 0x7F or byte == 0x0A for byte in file)  # safe on a terminal


def test_export__of_one_namespace_alone():
    put("m365", "a", b"")
    put("m365-b", "b", b"")
    header, key, _ = lines(exported(namespace="m365"))
    assert (header["namespace"], key["namespace"]) == ("m365", "m365")
    assert [line["type"] for line in lines(exported(namespace="none"))] == ["header", "end"]
    with pytest.raises(InvalidRequest):
        exported(namespace="a:b")


def test_export__is_recorded_before_the_first_line():
    put("m365", "a", b"")
    iterator = export(session(), "m365")
    next(iterator)
    newest = next(audit.entries(UUID))
    assert (newest.operation, newest.namespace, newest.key) == ("export", "m365", "")
    next(export(session(), None))
    newest = next(audit.entries(UUID))
    assert (newest.operation, newest.namespace, newest.by) == ("export", "", "operator:tests")


addresses = st.builds(
    lambda namespace, key: Address(namespace, key),
    st.text(
        st.characters(exclude_categories=["Cc", "Cs"], exclude_characters=":/"), min_size=1
    ).filter(lambda text: len(text.encode()) <= 128),
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1).filter(
        lambda text: len(text.encode()) <= 512
    ),
)
values = st.one_of(st.binary(max_size=200), st.text(max_size=50).map(str.encode))


@given(
    st.dictionaries(addresses, st.tuples(values, st.sampled_from([None, 60, 10**9])), max_size=12)
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_round_trip__of_any_addresses_and_values(stored):
    redis = get_redis_connection()
    redis.flushall()
    for address, (value, ttl) in stored.items():
        put(address.namespace, address.key, value, ttl)
    file, before = exported(), standing()
    assert len(before) == len(stored)
    assert compared(file).equal == len(stored)
    redis.flushall()
    assert imported(file).new == len(stored)
    assert standing() == before
    for address, (_, ttl) in stored.items():
        left = redis.ttl(PREFIX + address.member)
        assert left == -1 if ttl is None else abs(left - ttl) <= 2
    assert lines(exported())[1:] == lines(file)[1:] or any(ttl for _, ttl in stored.values())


def test_round_trip__of_many_pages(monkeypatch):
    for number in range(450):
        put(f"ns{number % 3}", f"k{number}", b"x" * number)
    before, file = standing(), exported()
    get_redis_connection().flushall()
    assert imported(file).new == 450
    assert standing() == before


# --- What an import does ------------------------------------------------------------------------


def test_import__keeps_what_exists_unless_it_overwrites():
    put("ns", "a", b"mine")
    put("ns", "same", b"same")
    file = made(
        key_of(key="a", value="theirs"), key_of(key="same", value="same"), key_of(key="new")
    )
    total = compared(file)
    assert (total.new, total.different, total.equal) == (1, 1, 1)
    assert len(standing()) == 2
    total = imported(file)
    assert (total.new, total.different, total.equal) == (1, 1, 1)
    assert standing()[b"ns:a"] == b"mine"
    total = imported(file, overwrite=True)
    assert (total.new, total.different, total.equal) == (0, 1, 2)
    assert standing()[b"ns:a"] == b"theirs"


def test_import__an_equal_value_with_another_expiry_is_different():
    put("ns", "k", b"v", 60)
    file = made(key_of())
    assert compared(file).different == 1
    imported(file, overwrite=True)
    assert get_redis_connection().ttl(PREFIX + "ns:k") == -1


def test_import__leaves_out_what_has_expired():
    file = made(key_of(expires_at="2020-01-01T00:00:00Z"), key_of(key="b"))
    total = imported(file)
    assert (total.expired, total.new) == (1, 1)


def test_import__is_of_this_connector_whatever_the_file_says():
    put("ns", "k", b"v", uuid=OTHER)
    file = exported(OTHER)
    assert str(header_of(io.BytesIO(file)).connector) == OTHER
    imported(file)
    assert standing() == {b"ns:k": b"v"}


def test_import__of_a_key_named_twice_the_last_line_holds():
    imported(made(key_of(value="first"), key_of(value="last")))
    assert standing() == {b"ns:k": b"last"}


def test_import__leaves_a_foreign_type_alone():
    redis = get_redis_connection()
    redis.hset(PREFIX + "ns:k", "a", "b")
    file = made(key_of(), key_of(key="other"))
    assert compared(file).foreign == 1
    total = imported(file, overwrite=True)
    assert (total.foreign, total.new) == (1, 1)
    assert redis.hgetall(PREFIX + "ns:k") == {b"a": b"b"}


def test_import__stays_within_the_quota_and_can_be_run_again():
    file = made(*(key_of(key=f"k{number}") for number in range(250)))
    total = Imported()
    with pytest.raises(Forbidden) as refused:
        for _ in import_file(session(max_keys=120), io.BytesIO(file), total, overwrite=False):
            pass
    assert refused.value.code == "quota_exceeded"
    assert total.new == len(standing()) == 100
    again = imported(file)
    assert (again.new, again.equal) == (150, 100)


def test_import__beside_a_connector_that_writes_keeps_its_value(monkeypatch):
    compare = importing._compare

    def and_then_the_connector_writes(side_, living):
        standings = compare(side_, living)
        put("ns", "k", b"the connector's")
        return standings

    monkeypatch.setattr(importing, "_compare", and_then_the_connector_writes)
    total = imported(made(key_of()))
    assert standing() == {b"ns:k": b"the connector's"}
    assert (total.new, total.different) == (0, 1)


def test_import__is_audited_as_the_writes_it_makes():
    imported(made(key_of()))
    put, compared = audit.entries(UUID)
    assert (put.operation, put.by, put.key) == ("put", "operator:tests", "k")
    assert (compared.operation, compared.by, compared.key) == ("compare", "operator:tests", "")


def test_import__what_is_no_base64_is_invalid():
    bad = made(key_of(value_base64="!!!!", value=None))
    with pytest.raises(InvalidRequest, match="value_base64"):
        imported(bad)


# --- What is no whole export --------------------------------------------------------------------


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_truncated__anywhere_is_told_and_nothing_is_imported(data):
    file = made(*(key_of(key=f"k{number}", value="é" * number) for number in range(5)))
    cut = data.draw(st.integers(0, len(file) - 2))  # the last newline may be missing
    with pytest.raises(InvalidRequest):
        imported(file[:cut])
    assert standing() == {}


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_garbled__either_is_refused_or_holds_valid_lines(data):
    file = bytearray(made(*(key_of(key=f"k{number}", value="v\"é'") for number in range(4))))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(file) - 1))
        file[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    get_redis_connection().flushall()
    try:
        total = imported(bytes(file))
    except InvalidRequest:
        assert standing() == {}
    else:
        assert total.new + total.expired + total.equal + total.different == 4


@pytest.mark.parametrize(
    "line, told",
    [
        ({"namespace": "a:b"}, "Line 3: A namespace may hold no"),
        ({"key": ""}, "Line 3: A key is 1 to 512 bytes"),
        ({"key": "k\n"}, "control characters"),
        ({"value": None}, "Give either value or value_base64"),
        ({"value_base64": "eA=="}, "Give either value or value_base64"),
        ({"value": None, "value_base64": "x"}, "Line 3: value_base64"),
        ({"value": "x" * 65_537}, "more than 65536 bytes"),
        ({"value": 5}, "Line 3: value: Input should be a valid string"),
        ({"value": "\ud800"}, "Line 3"),
        ({"expires_at": "tomorrow"}, "Line 3: expires_at"),
        ({"expires_at": "2026-01-01T00:00:00"}, "Line 3: expires_at"),
        ({"expires_at": 5}, "Line 3: expires_at"),
        ({"surplus": 1}, "Line 3: surplus"),
        ({"type": "other"}, "Line 3"),
        ({"value": "x" * 500_000}, "longer than any"),
    ],
)
def test_line__that_is_invalid_is_named_by_its_number_and_not_its_value(line, told):
    file = made(key_of(key="first"), key_of(**{"value": SECRET, **line}), key_of(key="last"))
    total = compared(file)
    assert total.invalid >= 1
    assert told in total.problems[0]
    assert SECRET not in "".join(total.problems)
    with pytest.raises(InvalidRequest, match="so nothing was"):
        imported(file)
    assert standing() == {}


@pytest.mark.parametrize(
    "file, told",
    [
        (made(key_of(), count=2), "says that it has 2 keys, and has 1"),
        (made(key_of()) + b"{}\n", "more after the end"),
        (made(key_of()).rpartition(b"{")[0], "truncated"),
        (made(key_of()).replace(b'"key": "k"', b'"key": "k" garbage'), "Line 2: it is not JSON"),
        (made() + made(), "more after the end"),
    ],
)
def test_file__that_is_not_whole_is_refused(file, told):
    assert told in compared(file).problems[0]
    with pytest.raises(InvalidRequest):
        imported(file)


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"\0" * 5000,
        b'{"type": "header"}',
        made().replace(b'"version": 1', b'"version": 2'),
        made().partition(b"\n")[2],
        b"[" * 100_000,
    ],
)
def test_file__that_is_no_export_is_refused(file):
    with pytest.raises(InvalidRequest, match="no export of Statekeep"):
        compared(file)


def test_problems__are_told_up_to_a_number_and_counted():
    total = compared(made(*(key_of(key="") for _ in range(50))))
    assert (total.invalid, len(total.problems)) == (50, 20)


# --- The commands -------------------------------------------------------------------------------


def run(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command(*arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


@pytest.fixture
def m365(db) -> SigningConnector:
    return SigningConnector.create("m365")


def test_commands__export_and_import_again(m365, tmp_path):
    m365.put("v")
    file = tmp_path / "export.jsonl"
    _, err = run("export_state", "m365", "--file", str(file))
    assert "Exported 1 key." in err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    m365.delete()
    out, _ = run("import_state", "m365", str(file), "--dry-run")
    assert out.startswith("Would import: 1 new")
    assert m365.get().json()["value"] == ""
    out, _ = run("import_state", "m365", str(file))
    assert out.startswith("Imported: 1 new")
    assert m365.get().json()["value"] == "v"


@pytest.mark.parametrize("namespace", ["nosuch", None])
def test_export_state__of_nothing_says_so(m365, tmp_path, namespace):
    options = ("--namespace", namespace) if namespace else ()
    _, err = run("export_state", "m365", "--file", str(tmp_path / "f"), *options)
    assert err.startswith("Nothing was exported: ")
    assert (namespace or "the connector") in err


def test_export_state__overwrites_no_file(m365, tmp_path):
    file = tmp_path / "precious"
    file.write_text("precious")
    with pytest.raises(CommandError, match="name a new file"):
        run("export_state", "m365", "--file", str(file))
    assert file.read_text() == "precious"


def test_export_state__to_standard_output(m365, monkeypatch):
    m365.put("\x1b[31m")
    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", out)
    call_command("export_state", "m365", "--namespace", "m365", stderr=io.StringIO())
    written = out.buffer.getvalue()
    assert b"\x1b" not in written
    assert [line["type"] for line in lines(written)] == ["header", "key", "end"]


def test_export_state__leaves_no_part_of_a_file_when_redis_fails(m365, tmp_path, monkeypatch):
    def down(*args: object) -> None:
        raise Unavailable

    m365.put("v")
    monkeypatch.setattr(StateStore, "operate", down)
    with pytest.raises(CommandError, match="not whole"):
        run("export_state", "m365", "--file", str(tmp_path / "f"))
    assert not (tmp_path / "f").exists()


def test_export_state__to_a_full_disk_is_a_line_and_leaves_no_part(m365, tmp_path, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(errno.EFBIG, "File too large")

    m365.put("v")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CommandError, match=r"/f: File too large\.$"):
        run("export_state", "m365", "--file", str(tmp_path / "f"))
    assert not (tmp_path / "f").exists()


def test_import_state__of_another_connectors_file_has_to_be_meant(m365, tmp_path):
    file = tmp_path / "f"
    file.write_bytes(made(key_of(), connector=OTHER))
    with pytest.raises(CommandError, match="--other-connector"):
        run("import_state", "m365", str(file))
    _, err = run("import_state", "m365", str(file), "--dry-run")
    assert "another connector" in err
    run("import_state", "m365", str(file), "--other-connector")
    assert m365.get("k", "ns").json()["value"] == "v"
    assert standing(OTHER) == {}


def test_import_state__tells_problems_escaped_and_totals_of_what_was_done(m365, tmp_path):
    file = tmp_path / "f"
    file.write_bytes(made(key_of(**{"\x1b[31m": 1}), connector=m365.uuid))
    err = io.StringIO()
    with pytest.raises(CommandError, match="until that is mended"):
        call_command(
            "import_state", "m365", str(file), "--dry-run", stdout=io.StringIO(), stderr=err
        )
    assert "\x1b" not in err.getvalue()
    file.write_bytes(made(*(key_of(key=f"k{n}") for n in range(101)), connector=m365.uuid))
    Connector.objects.update(max_keys=100)
    out = io.StringIO()
    with pytest.raises(CommandError, match="quota of 100 keys"):
        call_command("import_state", "m365", str(file), stdout=out, stderr=err)
    assert out.getvalue().startswith("Imported: 100 new")
    event = Event.objects.get(kind=Event.Kind.IMPORT)
    assert event.message == "Imported a file in part: 100 new keys, 0 that existed."
    assert str(event.connector_uuid) == m365.uuid


def test_import_state__of_a_dry_run_that_breaks_off_prints_no_totals(m365, tmp_path, monkeypatch):
    file = tmp_path / "f"
    file.write_bytes(made(key_of(), connector=m365.uuid))

    def down(*args: object) -> None:
        raise Unavailable

    monkeypatch.setattr(importing, "_compare", down)
    out = io.StringIO()
    with pytest.raises(CommandError):
        call_command("import_state", "m365", str(file), "--dry-run", stdout=out)
    assert out.getvalue() == ""


def test_import_state__reads_standard_input(m365, monkeypatch):
    file = made(key_of(), connector=m365.uuid)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(file)))
    out, _ = run("import_state", "m365", "-")
    assert out.startswith("Imported: 1 new")
    assert m365.get("k", "ns").json()["value"] == "v"


def test_import_state__bad_file_is_a_line(m365, tmp_path):
    with pytest.raises(CommandError, match=f"^{tmp_path}/none: No such file or directory.$"):
        run("import_state", "m365", str(tmp_path / "none"))
    read, write = os.pipe()
    with pytest.raises(CommandError, match=r"not seekable\.$"):
        run("import_state", "m365", f"/dev/fd/{read}")
    os.close(read)
    os.close(write)
    (tmp_path / "f").write_bytes(b"\0")
    with pytest.raises(CommandError, match="no export"):
        run("import_state", "m365", str(tmp_path / "f"))


# --- The pages ----------------------------------------------------------------------------------


class Pages:
    """The pages of one connector, for staff with some permissions."""

    def __init__(self, uuid: str, *codenames: str) -> None:
        self.browser = connector_staff(*codenames)
        self.base = f"/admin/connector_state/connector/{uuid}/transfer/"

    def export(self, namespace: str = ""):
        return self.browser.post(self.base + "export/", {"namespace": namespace})

    def import_(self, file: bytes, **fields: str):
        upload = SimpleUploadedFile("f", file)
        return self.browser.post(self.base + "import/", {"file": upload, **fields})


def test_pages__export_is_a_file_that_nobody_keeps(m365):
    m365.put(SECRET)
    response = Pages(m365.uuid, "view_values").export()
    assert response["Content-Disposition"] == 'attachment; filename="statekeep-export.jsonl"'
    assert response["Content-Type"] == "application/octet-stream"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in response["Cache-Control"]
    assert lines(b"".join(response))[1]["value"] == SECRET
    assert next(audit.entries(m365.uuid)).operation == "export"
    assert LogEntry.objects.get().change_message == "Exported all namespaces."


def test_pages__export_that_redis_breaks_off_is_truncated(m365, monkeypatch):
    m365.put("v")
    m365.put("v", ns="other")
    response = Pages(m365.uuid, "view_values").export()

    def down(*args: object, **options: object) -> None:
        raise Unavailable

    monkeypatch.setattr(connection, "run", down)
    written = b""
    with pytest.raises(Unavailable):
        for chunk in response:
            written += chunk
    assert written
    with pytest.raises(InvalidRequest):
        imported(written)


def test_pages__export_of_no_namespace_is_refused_in_words(m365):
    pages = Pages(m365.uuid, "view_values", "view_keys")
    assert pages.export("a:b").status_code == 400
    m365.put("v")
    nothing = pages.export("m356")
    assert nothing["Location"] == pages.base
    assert "no keys in “m356”" in pages.browser.get(pages.base).content.decode()


def test_pages__dry_run_first_and_then_the_import(m365):
    pages = Pages(m365.uuid, "change_keys", "view_values", "view_keys")
    file = made(key_of(), key_of(key="old", expires_at="2020-01-01T00:00:00Z"), connector=m365.uuid)
    preview_ = pages.import_(file, dry_run="on")
    assert "What an import of this file would do" in preview_.content.decode()
    assert (preview_.context["total"].new, preview_.context["total"].expired) == (1, 1)
    assert standing(m365.uuid) == {}
    page = pages.import_(file)
    assert "Imported: 1 new key." in page.content.decode()
    assert standing(m365.uuid) == {b"ns:k": b"v"}
    assert LogEntry.objects.get().change_message == "Imported a file: 1 new key."


def test_pages__tell_who_may_not_see_values_no_more_than_that_a_key_exists(m365):
    """Else whoever imports guesses until one is equal."""
    m365.put(SECRET)
    pages = Pages(m365.uuid, "change_keys")
    for overwrite in ({}, {"overwrite": "on"}):
        told = set()
        for guess in (SECRET, "wrong"):
            m365.put(SECRET)
            file = made(key_of(namespace="m365", key="delta", value=guess), connector=m365.uuid)
            page = pages.import_(file, **overwrite, dry_run="on")
            told.add(page.content.decode().partition('id="outcome"')[2].partition("</table>")[0])
            LogEntry.objects.all().delete()
            pages.import_(file, **overwrite)
            told.add(LogEntry.objects.get().change_message)
        assert len(told) == 2


def test_pages__another_connectors_file_needs_a_tick(m365):
    pages = Pages(m365.uuid, "change_keys")
    file = made(key_of(), connector=OTHER)
    assert "export of another connector" in pages.import_(file, dry_run="on").content.decode()
    assert "tick this" in pages.import_(file).content.decode()
    assert standing(m365.uuid) == standing(OTHER) == {}
    pages.import_(file, other_connector="on")
    assert standing(m365.uuid) == {b"ns:k": b"v"}
    assert standing(OTHER) == {}


def test_pages__a_quota_in_the_middle_says_what_is_stored(m365):
    Connector.objects.update(max_keys=100)
    file = made(*(key_of(key=f"k{n}") for n in range(150)), connector=m365.uuid)
    page = Pages(m365.uuid, "change_keys").import_(file)
    assert "It stopped in the middle" in page.content.decode()
    assert page.context["total"].new == 100
    assert LogEntry.objects.get().change_message == "Imported a file in part: 100 new keys."


def test_pages__bad_files_are_told(m365):
    pages = Pages(m365.uuid, "change_keys")
    assert "no export of Statekeep" in pages.import_(b"\0<script>").content.decode()
    assert (
        "truncated" in pages.import_(made(connector=m365.uuid).partition(b"\n")[0]).content.decode()
    )
    assert "This field is required" in pages.browser.post(pages.base + "import/").content.decode()
    page = pages.import_(made(key_of(key=""), connector=m365.uuid), dry_run="on")
    assert "Line 2: A key is 1 to 512 bytes" in page.content.decode()


def test_pages__a_file_over_the_limit_is_told_and_kept_nowhere(m365, settings):
    settings.STATE_MAX_IMPORT_BYTES = 1000
    response = Pages(m365.uuid, "change_keys").import_(made(key_of(value="x" * 1000)))
    assert response.status_code == 400
    assert "at most 1000\xa0bytes here" in response.content.decode()
    assert not response.wsgi_request.FILES
