"""The admin pages of keys: who may do what, and what happens to values."""

import re
import threading
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection as database
from django.test import Client
from django_redis import get_redis_connection
from redis.exceptions import ConnectionError as RedisConnectionError

from connector_state.models import Connector
from connector_state.store import audit, index, unindexed
from connector_state.store.calls import Caller
from connector_state.store.keys import Address, connector_keys
from connector_state.store.values import StateStore
from tests.connectors import redis_server_of, tag
from tests.operators import connector_staff

pytestmark = pytest.mark.django_db

ALL = ("view_keys", "view_values", "change_keys", "delete_keys")
SECRET = "a-secret-token"


class Admin:
    """A member of staff at the pages of one connector."""

    def __init__(self, uuid: str, *codenames: str) -> None:
        self.uuid, self.browser = uuid, connector_staff(*codenames)

    def path(self, page: str, **query: str) -> str:
        path = f"/admin/connector_state/connector/{self.uuid}/{page}"
        return f"{path}?{urlencode(query)}" if query else path

    def get(self, page: str, **query: str):
        return self.browser.get(self.path(page, **query))

    def post(self, page: str, data=None, key: str = "delta", ns: str = "m365"):
        return self.browser.post(self.path(page, namespace=ns, key=key), data or {})

    def edit(self, value: str, etag: str, **fields):
        data = {"save": "yes", "value": value, "etag": etag, "expiry": "keep", **fields}
        return self.post("keys/key/edit/", data)


@pytest.fixture
def admin(connector) -> Admin:
    return Admin(connector.uuid, *ALL)


@pytest.fixture
def redis():
    return get_redis_connection()


def redis_key(connector, ns: str = "m365", key: str = "delta") -> str:
    return f"dsxconnect:connector_state:{tag(connector.uuid)}:{ns}:{key}"


def store(connector) -> StateStore:
    return StateStore(connector.uuid, Caller.operator("tests"))


def etag_of(response) -> str:
    return response["ETag"].strip('"')


def text_of(response) -> str:
    return response.content.decode()


def audited(connector) -> list[tuple[str, str]]:
    return [(entry.operation, entry.key) for entry in audit.entries(connector.uuid)]


# --- Permissions --------------------------------------------------------------------------------

PAGES = [
    ("get", "keys/", {"view_keys"}),
    ("get", "keys/key/", {"view_keys"}),
    ("post", "keys/key/value/", {"view_values"}),
    ("post", "keys/key/download/", {"view_values"}),
    ("post", "keys/key/edit/", {"view_values", "change_keys"}),
    ("get", "keys/new/", {"change_keys"}),
    ("post", "keys/new/", {"change_keys"}),
    ("get", "keys/key/expiry/", {"change_keys"}),
    ("post", "keys/key/expiry/", {"change_keys"}),
    ("post", "keys/delete/", {"delete_keys"}),
    ("get", "keys/key/version/", {"view_values"}),
    ("get", "keys/key/restore/", {"change_keys"}),
    ("get", "keys/deleted/", {"view_keys"}),
    ("get", "keys/unindexed/", {"view_keys"}),
    ("post", "keys/unindexed/take-in/", {"change_keys"}),
    ("get", "transfer/", {"view_keys"}),
    ("post", "transfer/export/", {"view_values"}),
    ("post", "transfer/import/", {"change_keys"}),
]


@pytest.mark.parametrize("method, page, needed", PAGES)
def test_page__needs_its_own_permissions_and_no_other(connector, method, page, needed):
    connector.put(SECRET)
    able = Admin(connector.uuid, *needed)
    query = {"namespace": "m365", "key": "delta"}
    response = getattr(able.browser, method)(able.path(page, **query))
    assert response.status_code in (200, 302)
    assert response["Cache-Control"].startswith("no-store")
    for missing in needed:
        others = set(ALL) - {missing}
        unable = Admin(connector.uuid, *others)
        for verb in ("get", "post"):
            for path in (unable.path(page, **query), unable.path(page, key="\0")):
                assert getattr(unable.browser, verb)(path).status_code == 403
        unknown = unable.path(page).replace(connector.uuid, str(uuid4()))
        assert unable.browser.post(unknown).status_code == 403


@pytest.mark.parametrize("method, page, needed", PAGES)
def test_page__a_form_without_its_token_is_403(connector, method, page, needed):
    browser = Client(enforce_csrf_checks=True)
    browser.cookies = Admin(connector.uuid, *ALL).browser.cookies
    path = f"/admin/connector_state/connector/{connector.uuid}/{page}"
    assert browser.post(path, {"namespace": "m365", "key": "delta"}).status_code == 403


def test_value__never_leaves_without_the_permission(connector):
    etag = etag_of(connector.put(SECRET))
    admin = Admin(connector.uuid, "view_keys", "change_keys", "delete_keys")
    key = {"namespace": "m365", "key": "delta"}
    answers = [
        admin.get("keys/"),
        admin.get("keys/", namespace="m365"),
        admin.get("keys/key/", **key),
        admin.get("keys/key/expiry/", **key),
        admin.post("keys/key/expiry/", {"expiry": "after", "seconds": "60"}),
        admin.post("keys/new/", {**key, "value": "x", "expiry": "never"}),
        admin.post("keys/delete/", key),
        admin.get("transfer/"),
        admin.get("keys/unindexed/"),
    ]
    for answer in answers:
        assert answer.status_code in (200, 302, 409)
        assert SECRET not in text_of(answer)
        assert etag not in text_of(answer)
        assert etag[:12] not in text_of(answer)
    assert ("read", "delta") not in audited(connector)


# --- The key browser ----------------------------------------------------------------------------


def test_keys__namespaces_then_keys_in_pages(connector, admin):
    for number in range(120):
        store(connector).put(Address("m365", f"k{number:03}"), b"12345")
    store(connector).put(Address("other", "k"), b"v", 60)
    namespaces = text_of(admin.get("keys/"))
    assert "m365" in namespaces
    assert ">120<" in namespaces
    first = admin.get("keys/", namespace="m365")
    assert [row["key"] for row in first.context["rows"]] == [f"k{n:03}" for n in range(100)]
    assert "never" in text_of(first)
    second = admin.browser.get(first.context["next_url"])
    assert [row["key"] for row in second.context["rows"]] == [f"k{n:03}" for n in range(100, 120)]
    assert not second.context["next_url"]
    assert "First page" in text_of(second)
    found = admin.get("keys/", namespace="m365", prefix="k01")
    assert len(found.context["rows"]) == 10
    (row,) = admin.get("keys/", namespace="other").context["rows"]
    assert row["expires_at"] is not None


def test_keys__many_namespaces_have_pages_too(connector, admin):
    for number in range(101):
        store(connector).put(Address(f"n{number:03}", "k"), b"")
    first = admin.get("keys/")
    assert len(first.context["rows"]) == 100
    second = admin.browser.get(first.context["next_url"])
    assert [row["namespace"] for row in second.context["rows"]] == ["n100"]


def test_keys__empty_says_what_to_do_next(admin):
    assert "knows no key" in text_of(admin.get("keys/"))
    assert "All namespaces" in text_of(admin.get("keys/", namespace="none"))
    assert "begins with" in text_of(admin.get("keys/", namespace="none", prefix="x"))


@pytest.mark.parametrize(
    "query",
    [{"namespace": "a:b"}, {"namespace": "a\x00"}, {"namespace": "ns", "prefix": "x" * 600}],
)
def test_keys__bad_addresses_are_refused_in_words(admin, query):
    response = admin.get("keys/", **query)
    assert response.status_code == 400
    assert "errornote" in text_of(response)


def test_keys__hostile_names_are_text(connector, admin):
    key = "<script>alert(1)</script>\u202e&key=x;'\""
    connector.put("v", key)
    listing = text_of(admin.get("keys/", namespace="m365"))
    assert "<script>alert" not in listing
    assert "⟨U+202E⟩" in listing
    (row,) = admin.get("keys/", namespace="m365").context["rows"]
    page = admin.browser.get(row["url"])
    assert page.context["address"].key == key
    assert "<script>alert" not in text_of(page)


def test_names__marks_are_written_out_wherever_they_stand(connector, admin):
    key, ns, shown = "\u202eabc", "n\u200bs", "⟨U+202E⟩abc"
    connector.put("v", key, ns=ns)
    for page in ("audit/", "keys/?namespace=" + ns):
        text = text_of(admin.browser.get(admin.path(page)))
        assert shown in re.sub('"[^"]*"', "", text)
        assert "\u202e" not in re.sub('(value|href)="[^"]*"', "", text)
    texts = [text_of(admin.get("keys/")), text_of(admin.get("keys/key/", namespace=ns, key=key))]
    texts += [text_of(admin.get("keys/key/expiry/", namespace=ns, key=key))]
    texts += [text_of(admin.post("keys/key/edit/", key=key, ns=ns))]
    texts += [text_of(admin.post("keys/delete/", {"namespace": ns, "key": [key]}))]
    for text in texts:
        assert "n⟨U+200B⟩s" in text
        assert "\u202e" not in re.sub('(value|href)="[^"]*"', "", text)
        assert "\u200b" not in re.sub('(value|href)="[^"]*"', "", text)


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        (" ", "⟨U+0020⟩"),
        ("a  b", "a⟨U+0020⟩⟨U+0020⟩b"),
        (" a b", "⟨U+0020⟩a b"),
        ("\u3164", "⟨U+3164⟩"),
    ],
)
def test_names__spaces_that_nobody_sees_are_written_out(connector, admin, key, shown):
    connector.put("v", key)
    assert f">{shown}</a>" in text_of(admin.get("keys/", namespace="m365"))
    assert f">{shown}" in text_of(admin.get("audit/"))
    assert f"m365 / {shown}" in text_of(admin.get("keys/key/", namespace="m365", key=key))


def test_audit__shows_the_beginning_of_an_etag_and_has_all_of_it(connector, admin):
    etag = etag_of(connector.put("v"))
    for text in (
        text_of(admin.get("audit/")),
        text_of(admin.get("keys/key/", namespace="m365", key="delta")),
    ):
        assert f'<code title="{etag}">{etag[:12]}</code>' in text


def import_file(admin, content: bytes, **fields) -> str:
    data = {"file": SimpleUploadedFile("a.jsonl", content), **fields}
    return text_of(admin.browser.post(admin.path("transfer/import/"), data))


def test_import__of_a_file_that_is_cut_off_promises_nothing(connector, admin):
    connector.put("v")
    exported = b"".join(admin.browser.post(admin.path("transfer/export/")).streaming_content)
    text = import_file(admin, exported[:-20], dry_run="on")
    assert "nothing of this file can be imported" in text
    assert 'id="outcome"' not in text
    assert "would be" not in text


def test_import__of_anothers_file_names_each_tick(connector, stranger, admin):
    stranger.put("v")
    other = Admin(stranger.uuid, *ALL)
    exported = b"".join(other.browser.post(other.path("transfer/export/")).streaming_content)
    without = import_file(admin, exported, dry_run="on")
    assert "take the tick “Only say what would happen (dry run)” away, and set the tick" in without
    assert "“The file may be another connector&#x27;s”" in without
    assert "away, and leave the tick" in import_file(
        admin, exported, dry_run="on", other_connector="on"
    )


def test_keys__all_on_a_page_can_be_selected_without_a_script(connector, admin):
    connector.put("v", "a")
    connector.put("v", "b")
    page = admin.browser.get(admin.get("keys/", namespace="m365").context["select_url"])
    assert text_of(page).count(" checked") == 2


# --- A key and its value ------------------------------------------------------------------------


def test_key__size_expiry_and_its_own_audit(connector, admin):
    connector.put("12345", query="?ttl=60")
    connector.put("v", "another")
    page = admin.get("keys/key/", namespace="m365", key="delta")
    assert "5\xa0bytes" in text_of(page)
    assert [entry.operation for entry in page.context["entries"]] == ["put"]
    assert page.context["stored"].ttl_seconds == 60
    missing = admin.get("keys/key/", namespace="m365", key="gone")
    assert "Nothing is stored under this key" in text_of(missing)


def test_value__is_shown_after_the_read_was_recorded(connector, admin):
    connector.put(SECRET)
    page = admin.post("keys/key/value/")
    assert SECRET in text_of(page)
    assert audited(connector) == [("read", "delta"), ("put", "delta")]
    assert admin.get("keys/key/value/", namespace="m365", key="delta").status_code == 302


def test_value__is_not_shown_when_the_read_can_not_be_recorded(connector, admin, monkeypatch):
    def down(*args: object) -> None:
        raise RedisConnectionError("down")

    connector.put(SECRET)
    monkeypatch.setattr(audit, "record_read", down)
    for page in ("keys/key/value/", "keys/key/download/", "keys/key/edit/"):
        response = admin.post(page)
        assert response.status_code == 503
        assert SECRET not in text_of(response)


@pytest.mark.parametrize(
    "value, expected",
    [
        (b"<script>alert(1)</script>", "&lt;script&gt;alert(1)"),
        ("a\u202eb\x1b[0m".encode(), "a⟨U+202E⟩b⟨U+001B⟩[0m"),
        (b"https://example.org/?a=1&b", 'rel="noreferrer noopener"'),
        (b"javascript:alert(1)", "javascript:alert(1)"),
        (b"[" * 32_000 + b"]" * 32_000, "[[[[["),
        (bytes(range(256)) * 4096, "Only its beginning is shown"),
        (b"x" * 500_000, "Only its beginning is shown"),
        (b"", "it is empty"),
    ],
)
def test_value__hostile_ones_are_harmless(connector, admin, redis, value, expected):
    redis.set(redis_key(connector), value)
    page = text_of(admin.post("keys/key/value/"))
    assert expected in page
    assert "<script>alert" not in page
    assert 'href="javascript' not in page
    assert len(page) < 2_000_000


def test_value__foreign_type_and_missing_are_said_in_words(connector, admin, redis):
    redis.hset(redis_key(connector), "a", SECRET)
    for page in ("keys/key/value/", "keys/key/download/"):
        assert "holds a hash" in text_of(admin.post(page))
        assert "Nothing is stored under this key" in text_of(admin.post(page, key="gone"))
    assert admin.post("keys/key/edit/").status_code == 400
    assert admin.edit("v", "").status_code == 400
    assert admin.post("keys/key/expiry/", {"expiry": "never"}).status_code == 400
    assert redis.hget(redis_key(connector), "a") == SECRET.encode()


def test_value__of_a_year_that_python_does_not_know(connector, admin, redis):
    redis.set(redis_key(connector), "v", px=9_000_000_000_000_000)
    index.take_in(connector.uuid, "tests", [Address("m365", "delta")])
    assert "9999-12-31" in text_of(admin.get("keys/", namespace="m365"))
    assert "9999-12-31" in text_of(admin.post("keys/key/edit/"))


def test_download__is_a_file_and_nothing_else(connector, admin, redis):
    value = b"<html><script>alert(1)</script>\xff"
    redis.set(redis_key(connector), value)
    response = admin.post("keys/key/download/")
    assert response.content == value
    assert response["Content-Type"] == "application/octet-stream"
    assert response["Content-Disposition"] == 'attachment; filename="value.bin"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert audited(connector)[0] == ("read", "delta")


# --- Editing ------------------------------------------------------------------------------------


def test_edit__replaces_what_was_shown_and_keeps_the_expiry(connector, admin, redis):
    etag = etag_of(connector.put("old", query="?ttl=60"))
    form = admin.post("keys/key/edit/").context["form"]
    assert form.initial == {"etag": etag, "expiry": "keep", "value": "old"}
    before = redis.pttl(redis_key(connector))
    assert admin.edit("new", etag).status_code == 302
    assert redis.get(redis_key(connector)) == b"new"
    assert 0 < redis.pttl(redis_key(connector)) <= before
    assert redis.zcard(connector_keys(connector.uuid).named("expiries")) == 1
    history = LogEntry.objects.get()
    assert history.change_message == "Changed m365 / delta."
    assert audited(connector)[0] == ("put", "delta")


@pytest.mark.parametrize(
    "fields, ttl", [({"expiry": "never"}, -1), ({"expiry": "after", "seconds": "9"}, 9)]
)
def test_edit__can_change_the_expiry(connector, admin, redis, fields, ttl):
    etag = etag_of(connector.put("old", query="?ttl=60"))
    assert admin.edit("new", etag, **fields).status_code == 302
    assert redis.ttl(redis_key(connector)) == ttl


@pytest.mark.parametrize("value", ["\n\nlines\nand\ttabs\n", " spaces ", "", "é\u2028漢"])
def test_edit__untouched_survives_byte_for_byte(connector, admin, redis, value):
    etag = etag_of(connector.put(value))
    page = text_of(admin.post("keys/key/edit/"))
    if value.startswith("\n"):
        assert "\n\n\nlines" in page.partition("<textarea")[2]  # a browser drops the first
    as_browsers_send_it = value.replace("\n", "\r\n")
    assert admin.edit(as_browsers_send_it, etag).status_code == 302
    assert redis.get(redis_key(connector)) == value.encode()


UNREADABLE = [b"a\r\nb", b"\0", b"\xff", b"x" * 70_000]


@pytest.mark.parametrize("value", UNREADABLE)
def test_edit__what_no_text_area_holds_is_replaced_by_a_file(connector, admin, redis, value):
    redis.set(redis_key(connector), value)
    page = admin.post("keys/key/edit/")
    assert page.context["form"]["value"].value() is None
    assert "can&#x27;t be edited as text" in text_of(page) or "can't be edited" in text_of(page)
    etag = page.context["form"].initial["etag"]
    fields = {"save": "replacement", "value": "", "etag": etag, "expiry": "keep"}
    assert "or choose a file" in text_of(admin.post("keys/key/edit/", fields))
    assert redis.get(redis_key(connector)) == value
    fields["file"] = SimpleUploadedFile("f", b"new\r\n")
    assert admin.post("keys/key/edit/", fields).status_code == 302
    assert redis.get(redis_key(connector)) == b"new\r\n"


@pytest.mark.parametrize("value", UNREADABLE)
def test_edit__what_cannot_be_read_is_replaced_by_what_is_typed(connector, admin, redis, value):
    redis.set(redis_key(connector), value)
    etag = admin.post("keys/key/edit/").context["form"].initial["etag"]
    redis.set(redis_key(connector), b"\xfe")
    page = admin.edit("typed", etag, save="replacement")
    assert page.status_code == 409
    assert redis.get(redis_key(connector)) == b"\xfe"
    theirs = page.context["form"]["etag"].value()
    assert admin.edit("typed", theirs, save="replacement").status_code == 302
    assert redis.get(redis_key(connector)) == b"typed"
    assert audited(connector)[0] == ("put", "delta")
    versions = admin.get("keys/key/", namespace="m365", key="delta").context["versions"]
    assert [version.etag for _, version in versions] == [theirs]


def test_edit__conflict_keeps_what_was_typed_and_offers_what_stands_there(connector, admin):
    etag = etag_of(connector.put("old"))
    admin.post("keys/key/edit/")
    theirs = etag_of(connector.put("theirs"))
    page = admin.edit("mine", etag)
    assert page.status_code == 409
    assert connector.get().json()["value"] == "theirs"
    assert ">\nmine</textarea>" in text_of(page)
    assert "theirs" in text_of(page)
    assert audited(connector)[0] == ("read", "delta")
    assert page.context["form"]["etag"].value() == theirs
    assert admin.edit("mine", theirs).status_code == 302
    assert connector.get().json()["value"] == "mine"


def test_edit__of_what_was_deleted_meanwhile(connector, admin):
    etag = etag_of(connector.put("old"))
    connector.delete()
    page = admin.edit("mine", etag)
    assert page.status_code == 409
    assert "deleted" in text_of(page)
    assert page.context["form"]["etag"].value() == ""
    assert admin.edit("mine", "").status_code == 302
    assert connector.get().json()["value"] == "mine"


@pytest.mark.parametrize(
    "fields, told",
    [
        ({"value": "x" * 65_537}, "at most 64.0\xa0KB"),
        ({"file": SimpleUploadedFile("f", b"x" * 65_537)}, "at most 64.0\xa0KB"),
        ({"file": SimpleUploadedFile("f", b"\xff")}, "UTF-8"),
        ({"expiry": "after"}, "after how many seconds"),
        ({"expiry": "keep", "seconds": "5"}, "choose that it expires"),
        ({"expiry": "after", "seconds": "0"}, "greater than or equal to 1"),
        ({"etag": "x"}, "Enter a valid value"),
    ],
)
def test_edit__bad_input_is_told_and_nothing_is_stored(connector, admin, fields, told):
    etag = etag_of(connector.put("old"))
    page = admin.edit(**{"value": "new", "etag": etag, **fields})
    assert page.status_code == 200
    assert told in text_of(page)
    assert connector.get().json()["value"] == "old"


def test_edit__stays_within_the_quota(connector, admin):
    etag = etag_of(connector.put("old"))
    Connector.objects.update(max_bytes=10)
    page = admin.edit("x" * 11, etag)
    assert "quota of 10 bytes" in text_of(page)
    assert "x" * 11 in text_of(page)
    assert connector.get().json()["value"] == "old"


@pytest.mark.parametrize(
    "page, wrong",
    [
        ("keys/new/", {"expiry": "never", "seconds": "60"}),
        ("keys/new/", {"key": "taken"}),
        ("keys/key/edit/", {"expiry": "never", "seconds": "60"}),
        ("keys/key/edit/", {"etag": "0" * 40}),
    ],
)
def test_form__asks_for_its_file_again_and_stores_nothing_without(connector, admin, page, wrong):
    etag = etag_of(connector.put("old"))
    connector.put("old", key="taken")
    key = "new" if page == "keys/new/" else "delta"
    fields = {"namespace": "m365", "key": key, "save": "yes", "value": "old", "etag": etag}
    fields |= {"expiry": "after", "seconds": "60"}
    first = admin.post(page, {**fields, **wrong, "file": SimpleUploadedFile("f", b"of the file")})
    assert "Choose the file again" in text_of(first)
    fields["had_file"] = first.context["form"]["had_file"].value()
    assert 'name="had_file" value="yes"' in text_of(first)
    second = admin.post(page, fields)
    assert second.status_code == 200
    assert [key for done, key in audited(connector) if done == "put"] == ["taken", "delta"]
    assert text_of(second).count("Choose the file again") == 1
    third = admin.post(page, {**fields, "file": SimpleUploadedFile("f", b"of the file")})
    assert third.status_code == 302
    assert connector.get(key=key).json()["value"] == "of the file"


@pytest.mark.parametrize("page", ["keys/new/", "keys/key/edit/"])
def test_form__whose_file_was_dropped_for_its_size_stores_nothing(connector, admin, settings, page):
    settings.STATE_MAX_IMPORT_BYTES = 1000
    fields = {"namespace": "m365", "key": "delta", "save": "yes", "expiry": "never"}
    file = SimpleUploadedFile("f", b"x" * 2000)
    refused = admin.post(page, {**fields, "file": file})
    assert refused.status_code == 400
    assert "at most 64.0\xa0KB" in text_of(refused)
    assert audited(connector) == []


@pytest.mark.django_db(transaction=True)  # the other thread reads the credential too
def test_edit__against_a_connector_that_writes_loses_no_write(connector, admin):
    """Each side increments by compare-and-swap; the sum has to be what both did."""
    connector.put("0")
    done = {"connector": 0, "operator": 0}

    def connector_writes() -> None:
        values = store(connector)
        while done["connector"] < 100:
            entry = values.get(Address("m365", "delta"))
            response = connector.put(str(int(entry.value) + 1), query=f"?if_match={entry.etag}")
            done["connector"] += response.status_code == 204
        database.close()

    writer = threading.Thread(target=connector_writes)
    writer.start()
    try:
        while done["operator"] < 10:
            form = admin.post("keys/key/edit/").context["form"].initial
            response = admin.edit(str(int(form["value"]) + 1), form["etag"])
            done["operator"] += response.status_code == 302
    finally:
        writer.join()
    assert connector.get().json()["value"] == "110"


def test_new__only_where_nothing_stands(connector, admin, redis):
    fields = {"namespace": "m365", "key": "new", "value": "v", "expiry": "after", "seconds": "60"}
    assert admin.post("keys/new/", fields).status_code == 302
    assert redis.get(redis_key(connector, key="new")) == b"v"
    assert redis.ttl(redis_key(connector, key="new")) == 60
    page = admin.post("keys/new/", {**fields, "value": "other"})
    assert page.status_code == 409
    assert "stored under this key already" in text_of(page)
    assert redis.get(redis_key(connector, key="new")) == b"v"


@pytest.mark.parametrize(
    "fields", [{"namespace": "a:b"}, {"key": "x\x01"}, {"key": "é" * 300}, {"namespace": ""}]
)
def test_new__bad_address_is_told(connector, admin, fields):
    form = {"namespace": "m365", "key": "k", "value": "v", "expiry": "never", **fields}
    page = admin.post("keys/new/", form)
    assert page.status_code == 200
    assert "errorlist" in text_of(page)
    assert audited(connector) == []


# --- Expiry -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields, ttl", [({"expiry": "after", "seconds": "60"}, 60), ({"expiry": "never"}, -1)]
)
def test_expiry__is_set_without_the_value(connector, redis, fields, ttl):
    connector.put(SECRET, query="?ttl=9")
    admin = Admin(connector.uuid, "change_keys")
    assert admin.post("keys/key/expiry/", fields).status_code == 302
    assert redis.ttl(redis_key(connector)) == ttl
    expiring = redis.zcard(connector_keys(connector.uuid).named("expiries"))
    assert expiring == (1 if ttl > 0 else 0)
    assert audited(connector)[0] == ("expire", "delta")
    assert connector.get().json()["value"] == SECRET
    assert "expires" in LogEntry.objects.get().change_message


def test_expiry__of_nothing_is_told(connector, admin):
    page = admin.post("keys/key/expiry/", {"expiry": "never"})
    assert "Nothing is stored under this key" in text_of(page)
    assert not LogEntry.objects.exists()


def test_expiry__beside_a_full_quota_and_an_index_that_does_not_know_it(connector, admin, redis):
    redis.set(redis_key(connector), "v")
    Connector.objects.update(max_keys=1, max_bytes=1)
    admin.post("keys/key/expiry/", {"expiry": "after", "seconds": "60"})
    assert redis.ttl(redis_key(connector)) == 60
    page = index.list_keys(connector.uuid, Caller.operator("tests"), "m365")
    assert [row.key for row in page.keys] == ["delta"]


# --- Deleting -----------------------------------------------------------------------------------


def test_delete__names_what_will_be_gone_and_then_deletes_it(connector, admin):
    for key in ("a", "b", "kept"):
        connector.put("v", key)
    form = {"namespace": "m365", "key": ["a", "b", "b", "gone"]}
    page = text_of(admin.browser.post(admin.path("keys/delete/"), form))
    assert "These 3 values" in page
    assert connector.get("a").json()["value"] == "v"
    response = admin.browser.post(
        admin.path("keys/delete/"), {**form, "confirm": "yes"}, follow=True
    )
    assert "Deleted 2 of 3 keys; the others were gone already." in text_of(response)
    assert [row["key"] for row in response.context["rows"]] == ["kept"]
    assert "m365 / a, m365 / b" in LogEntry.objects.get().change_message


def test_delete__nothing_or_too_much(connector, admin):
    response = admin.browser.post(admin.path("keys/delete/"), {"namespace": "m365"}, follow=True)
    assert "No key was selected" in text_of(response)
    many = {"namespace": "m365", "key": [f"k{n}" for n in range(101)], "confirm": "yes"}
    assert admin.browser.post(admin.path("keys/delete/"), many).status_code == 400


def test_delete__takes_a_foreign_type_away_too(connector, admin, redis):
    redis.hset(redis_key(connector), "a", "b")
    admin.post("keys/delete/", {"namespace": "m365", "key": "delta", "confirm": "yes"})
    assert not redis.exists(redis_key(connector))


# --- Unindexed keys -----------------------------------------------------------------------------


def test_unindexed__are_found_told_apart_and_taken_in(connector, stranger, admin, redis):
    connector.put("v", "known")
    redis.set(redis_key(connector, key="came from elsewhere"), "x", ex=60)
    redis.set(redis_key(connector, key="control\n"), "x")
    redis.hset(redis_key(connector, key="hash"), "a", "b")
    redis.set(redis_key(connector).encode() + b"\xff", "x")
    redis.set(redis_key(stranger), "x")
    page = admin.get("keys/unindexed/")
    rows = {row["name"]: bool(row["problem"]) for row in page.context["rows"]}
    assert rows == {
        "m365:came from elsewhere": False,
        "m365:control\n": True,
        "m365:hash": True,
        "m365:delta\\xff": True,
    }
    members = [row["member"] for row in page.context["rows"] if row["member"]]
    response = admin.browser.post(
        admin.path("keys/unindexed/take-in/"), {"member": members}, follow=True
    )
    assert "Took 1 key into the index." in text_of(response)
    assert len(response.context["rows"]) == 3
    listed = admin.get("keys/", namespace="m365").context["rows"]
    assert [row["key"] for row in listed] == ["came from elsewhere", "known"]


def test_unindexed__goes_on_in_bounded_steps(connector, admin, redis):
    pipeline = redis.pipeline()
    for number in range(1200):
        pipeline.set(redis_key(connector, key=f"k{number}"), "x")
    pipeline.execute()
    found, page = set(), admin.get("keys/unindexed/")
    steps = 1
    while True:
        assert len(page.context["rows"]) < 900
        found |= {row["name"] for row in page.context["rows"]}
        if not page.context["next_url"]:
            break
        page = admin.browser.get(page.context["next_url"])
        steps += 1
    assert len(found) == 1200
    assert steps > 2


def test_unindexed__stops_in_time_and_says_how_far(connector, admin, redis, monkeypatch):
    monkeypatch.setattr("connector_state.store.unindexed.SECONDS_AT_MOST", 0)
    pipeline = redis.pipeline(transaction=False)
    for number in range(2000):
        pipeline.set(f"other:{number}", "x")
    pipeline.execute()
    page = text_of(admin.get("keys/unindexed/"))
    assert "None in this part" in page
    assert "Only a part of Redis has been looked at so far: about 500 of 2,000 keys (25 %)" in page
    assert "Go on" in page


def test_unindexed__a_step_leaves_a_page_its_200_ms():
    assert unindexed.SECONDS_AT_MOST <= 0.12


def test_unindexed__says_when_it_has_seen_all(admin):
    page = text_of(admin.get("keys/unindexed/"))
    assert "All of Redis has been looked at" in page
    assert "Only a part" not in page


@pytest.mark.parametrize("query", [{"cursor": "x"}, {"cursor": "9" * 20}, {"looked_at": "-1"}])
def test_unindexed__bad_cursor_is_told(admin, query):
    assert admin.get("keys/unindexed/", **query).status_code == 400


def test_unindexed__taking_in_stays_within_valid_addresses(admin):
    for members in (["no namespace"], ["a:b\n"], ["a:b"] * 901):
        data = {"member": members}
        assert admin.browser.post(admin.path("keys/unindexed/take-in/"), data).status_code == 400


# --- Redis away ---------------------------------------------------------------------------------


NEED_REDIS_FOR_WHAT_THEY_ARE_SENT = (
    *("keys/new/", "keys/delete/", "transfer/", "transfer/import/"),
    *("keys/key/version/", "keys/key/restore/"),
)


@pytest.mark.parametrize(
    "method, page",
    [(method, page) for method, page, _ in PAGES if page not in NEED_REDIS_FOR_WHAT_THEY_ARE_SENT],
)
def test_page__says_so_when_redis_is_away(connector, admin, cut_redis, method, page):
    connector.put(SECRET)
    cut_redis()
    data = {"member": ["a:b"]}
    path = admin.path(page, namespace="m365", key="delta")
    response = admin.browser.post(path, data) if method == "post" else admin.browser.get(path)
    assert response.status_code == 503
    assert "Redis does not answer" in text_of(response)


@pytest.fixture
def full_redis(connector):
    """Redis has no memory left, and one value."""
    redis = redis_server_of(connector.uuid)
    connector.put("v")
    redis.config_set("maxmemory", 1)
    yield redis
    redis.config_set("maxmemory", 0)


def test_full_redis__refuses_what_adds_and_says_so(full_redis, connector, admin):
    page = admin.edit("mine", etag_of(connector.get()))
    assert page.status_code == 503
    assert "Redis is full" in text_of(page)
    assert connector.put("w").json()["code"] == "store_full"
    assert connector.get().json()["value"] == "v"


@pytest.mark.usefixtures("full_redis")
@pytest.mark.parametrize("page", ["keys/key/value/", "keys/key/edit/", "transfer/export/"])
def test_full_redis__shows_no_value_and_says_why(connector, admin, page):
    response = admin.post(page)
    assert response.status_code == 503
    assert "Redis is full" in text_of(response)


def test_full_redis__values_can_be_looked_for_and_deleted(full_redis, connector, admin):
    page = admin.get("keys/", namespace="m365")
    assert [row["key"] for row in page.context["rows"]] == ["delta"]
    admin.post("keys/delete/", {"namespace": "m365", "key": "delta", "confirm": "yes"})
    assert not full_redis.exists(redis_key(connector))
