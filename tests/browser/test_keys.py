"""The pages of keys: normal, empty, huge and with Redis away."""

import re
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django_redis import get_redis_connection

from connector_state.store.calls import Caller
from connector_state.store.keys import Address
from connector_state.store.operations import Operation
from connector_state.store.values import StateStore
from tests.connectors import SigningConnector

pytestmark = pytest.mark.django_db(transaction=True)

JSON = '{"cursor": "b9bad7", "pages": [1, 2, 3], "next": {"link": null}}'
HOSTILE = "<script>alert(1)</script>\u202e\x1b[31m"


@pytest.fixture
def connector(superuser: User) -> SigningConnector:
    return SigningConnector.create("m365 of contoso")


def path(connector: SigningConnector, page: str = "keys/", **query: str) -> str:
    whole = f"/admin/connector_state/connector/{connector.uuid}/{page}"
    return f"{whole}?{urlencode(query)}" if query else whole


def key_path(connector: SigningConnector, key: str = "delta") -> str:
    return path(connector, "keys/key/", namespace="m365", key=key)


def put_raw(connector: SigningConnector, value: bytes, key: str = "delta") -> None:
    redis = get_redis_connection()
    redis.set(f"dsxconnect:connector_state:{connector.uuid}:m365:{key}", value)


def put_many(connector: SigningConnector, keys: list[str]) -> None:
    for at in range(0, len(keys), 1000):
        store = StateStore(connector.uuid, Caller.operator("tests"))
        store.operate([Operation("put", Address("m365", k), b"v") for k in keys[at : at + 1000]])


# --- The key browser ----------------------------------------------------------------------------


def test_keys__from_the_namespaces_to_a_key(open_page, connector):
    connector.put(JSON, query="?ttl=3600")
    connector.put("v", "drive-items/cursor")
    connector.put("v", ns="sharepoint")
    page = open_page(path(connector))
    page.click("text=m365 >> nth=-1")
    page.wait_for_url("**namespace=m365**")
    page.fill("#prefix", "drive")
    page.click("#content form >> text=Search")
    page.wait_for_url("**prefix=drive**")
    assert page.locator("#result_list tbody tr").count() == 1
    page.click("text=drive-items/cursor")
    page.wait_for_url("**keys/key/**")
    assert "1\xa0byte" in page.inner_text(".facts")


def test_keys__namespaces(open_page, connector):
    connector.put("v")
    connector.put("v", "b")
    connector.put("v", ns="sharepoint-of-contoso")
    assert "sharepoint-of-contoso" in open_page(path(connector)).inner_text("#result_list")


def test_keys__opens_one_by_its_name(open_page, connector):
    connector.put("v", "a/b & c")
    page = open_page(path(connector))
    page.fill("#open-namespace", "m365")
    page.fill("#open-key", "a/b & c")
    page.click("text=Open this key")
    page.wait_for_url("**keys/key/**")
    assert "m365 / a/b & c" in page.inner_text("#content h1")


def test_keys__empty(open_page, connector):
    page = open_page(path(connector))
    assert "knows no key" in page.inner_text("#content")


def test_keys__huge(open_page, connector):
    put_many(connector, [f"k{n:05}" + "é" * 253 for n in range(20_000)])
    page = open_page(path(connector, namespace="m365"))
    assert page.locator("#result_list tbody tr").count() == 100
    page.click("text=Next page")
    page.wait_for_url("**after=**")
    assert "k00199" in page.inner_text("#result_list")


def test_keys__hostile_names(open_page, connector):
    connector.put("v", "<img src=x onerror=alert(1)>\u202egnp.exe" + "x" * 200)
    connector.put("v", "plain")
    page = open_page(path(connector, namespace="m365"))
    assert "⟨U+202E⟩gnp.exe" in page.inner_text("#result_list")


def test_keys__cut_redis(open_page, connector, cut_redis):
    cut_redis()
    page = open_page(path(connector), status=503)
    assert "Redis does not answer" in page.inner_text("#content")


# --- A key --------------------------------------------------------------------------------------


SHOWN = {
    "json": (JSON.encode(), '"cursor": "b9bad7",\n  "pages": ['),
    "text": (b"delta-token\nsecond line", "delta-token\nsecond line"),
    "link": (b"https://graph.example.org/v1.0/delta?token=" + b"x" * 300, "graph.example"),
    "hostile": (HOSTILE.encode(), "<script>alert(1)</script>⟨U+202E⟩⟨U+001B⟩[31m"),
    "nested": (b"[" * 32_768 + b"]" * 32_768, "[[[["),
    "binary": (bytes(range(256)) * 4096, "00 01 02 03"),
    "long": (b"word " * 100_000, "word word"),
    "empty": (b"", "it is empty"),
}


@pytest.mark.parametrize("name", SHOWN)
def test_value__is_shown_by_what_it_is(open_page, connector, name):
    value, expected = SHOWN[name]
    put_raw(connector, value)
    page = open_page(key_path(connector))
    page.click("text=Show value")
    page.wait_for_url("**/value/**")
    assert expected in page.inner_text("#content")


def test_key__that_is_missing(open_page, connector):
    page = open_page(key_path(connector))
    assert "Nothing is stored under this key" in page.inner_text("#content")


def test_key__of_the_longest_name(open_page, connector):
    name = "k" * 512
    connector.put("v", name)
    page = open_page(key_path(connector, name))
    assert "Size" in page.inner_text("#content")
    page.click("text=Edit")
    page.wait_for_selector("textarea")


def test_key__of_a_foreign_type(open_page, connector):
    redis = get_redis_connection()
    redis.hset(f"dsxconnect:connector_state:{connector.uuid}:m365:delta", "a", "b")
    assert "holds a hash" in open_page(key_path(connector)).inner_text("#content")


def test_download__is_the_value(open_page, connector):
    put_raw(connector, b"<script>\xff")
    page = open_page(key_path(connector))
    with page.expect_download() as download:
        page.click("text=Download")
    assert download.value.suggested_filename == "value.bin"
    assert download.value.path().read_bytes() == b"<script>\xff"


# --- Changing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["\n\n <b>\n\t'\"&amp;\n", "one line", "é\u2028\u202e"])
def test_edit__untouched_changes_no_byte(open_page, connector, value):
    etag = connector.put(value, query="?ttl=3600")["ETag"]
    page = open_page(key_path(connector))
    page.click("text=Edit")
    page.click("[name=save]")
    page.wait_for_selector(".success")
    assert connector.get()["ETag"] == etag
    assert "State-TTL" in connector.get()


def test_edit__form(open_page, connector):
    connector.put(JSON, query="?ttl=3600")
    page = open_page(key_path(connector))
    page.click("text=Edit")
    assert page.input_value("[name=value]") == JSON
    assert page.is_checked("[name=expiry][value=keep]")
    for field in page.locator("#content form input:visible, #content form textarea").all():
        assert field.evaluate("f => f.labels.length") > 0


def test_edit__conflict(open_page, connector):
    connector.put("old")
    page = open_page(key_path(connector))
    page.click("text=Edit")
    page.fill("[name=value]", "mine")
    connector.put("theirs")
    page.click("[name=save]")
    page.wait_for_selector(".errornote")
    page.wait_for_load_state()
    assert "theirs" in page.inner_text("pre.value")
    assert page.input_value("[name=value]") == "mine"
    page.click("[name=save]")
    page.wait_for_selector(".success")
    assert connector.get().json()["value"] == "mine"


def test_edit__binary_is_replaced_in_a_text_box(open_page, connector):
    put_raw(connector, b"\xff\0")
    page = open_page(key_path(connector))
    page.click("text=Edit")
    assert "can't be edited as text" in page.inner_text("#content")
    assert "ff 00" in page.inner_text("pre.value")
    page.fill("[name=value]", "typed")
    page.click("text=Replace the value")
    page.wait_for_selector(".success")
    assert connector.get().json()["value"] == "typed"


def test_new__key(open_page, connector):
    page = open_page(path(connector, namespace="m365"))
    page.click("text=Add key")
    page.wait_for_url("**/new/**")
    page.fill("[name=key]", "fresh")
    page.fill("[name=value]", "first\nsecond")
    page.check("[name=expiry][value=after]")
    page.click("[name=save]")
    page.wait_for_selector(".errornote")
    page.wait_for_load_state()
    assert "Say after how many seconds" in page.inner_text("#content")
    page.fill("[name=seconds]", "3600")
    page.click("[name=save]")
    page.wait_for_selector(".success")
    assert connector.get("fresh").json()["value"] == "first\nsecond"


def test_expiry__is_set(open_page, connector):
    connector.put("v")
    page = open_page(key_path(connector))
    page.click("text=Set expiry")
    page.check("[name=expiry][value=after]")
    page.fill("[name=seconds]", "60")
    page.click(".submit-row button")
    page.wait_for_selector(".success")
    assert connector.get()["State-TTL"] in ("59", "60")


def test_delete__a_selection(open_page, connector):
    for key in ("a", "b", "<b>c</b>"):
        connector.put("v", key)
    page = open_page(path(connector, namespace="m365"))
    page.click("text=Select all on this page")
    page.wait_for_url("**selected=all**")
    page.uncheck("[name=key][value=a]")
    page.click("text=Delete those selected")
    page.wait_for_url("**/delete/")
    assert page.locator(".names li").all_inner_texts() == ["<b>c</b>", "b"]
    page.click("text=Delete 2 keys")
    page.wait_for_selector(".success")
    page.wait_for_load_state()
    assert page.locator("#result_list tbody tr").count() == 1


def test_delete__confirmation(open_page, connector):
    keys = [f"k{n:03}" + "é" * 254 for n in range(100)]
    put_many(connector, keys)
    page = open_page(path(connector, namespace="m365", selected="all"))
    page.click("text=Delete those selected")
    page.wait_for_url("**/delete/")
    assert page.locator(".names li").count() == 100


# --- Unindexed keys -----------------------------------------------------------------------------


def test_unindexed__are_taken_in(open_page, connector):
    put_raw(connector, b"v", "came from elsewhere" + "x" * 400)
    put_raw(connector, b"v", "control\x01\u202e")
    get_redis_connection().hset(f"dsxconnect:connector_state:{connector.uuid}:m365:h", "a", "b")
    page = open_page(path(connector, "keys/unindexed/"))
    assert page.locator("#result_list tbody tr").count() == 3
    page.click("text=Take those shown into the index")
    page.wait_for_selector(".success")
    page.wait_for_load_state()
    assert page.locator("#result_list tbody tr").count() == 2


def test_unindexed__empty(open_page, connector):
    page = open_page(path(connector, "keys/unindexed/"))
    assert "knows every key" in page.inner_text("#content")


def test_unindexed__huge(open_page, connector):
    redis = get_redis_connection()
    prefix = f"dsxconnect:connector_state:{connector.uuid}:m365:"
    redis.mset({f"{prefix}k{n:05}" + "é" * 253: "v" for n in range(20_000)})
    page = open_page(path(connector, "keys/unindexed/"))
    assert page.locator("#result_list tbody tr").count() >= 100
    page.click("text=Go on")
    page.wait_for_url("**cursor=**")


def test_unindexed__cut_redis(open_page, connector, cut_redis):
    cut_redis()
    open_page(path(connector, "keys/unindexed/"), status=503)


# --- Export and import --------------------------------------------------------------------------


def test_transfer__export_dry_run_and_import(open_page, connector, tmp_path):
    connector.put(HOSTILE.replace("\x1b", ""))
    connector.put("v", "b")
    page = open_page(path(connector, "transfer/"))
    with page.expect_download() as download:
        page.click("button:has-text('Export')")
    assert download.value.suggested_filename == "statekeep-export.jsonl"
    file = tmp_path / "export.jsonl"
    download.value.save_as(file)
    connector.delete()
    page.set_input_files("[name=file]", file)
    page.click("button:has-text('Import')")
    page.wait_for_selector("#outcome")
    page.wait_for_load_state()
    assert re.search(r"new\s+1", page.inner_text("#outcome"))
    assert "would be stored" in page.inner_text("#outcome")
    page.set_input_files("[name=file]", file)
    page.uncheck("[name=dry_run]")
    page.click("button:has-text('Import')")
    page.wait_for_selector(".success")
    assert connector.get().json()["value"].startswith("<script>")


def test_transfer__a_garbled_file(open_page, connector, tmp_path):
    connector.put("v")
    page = open_page(path(connector, "transfer/"))
    with page.expect_download() as download:
        page.click("button:has-text('Export')")
    file = tmp_path / "export.jsonl"
    whole = download.value.path().read_bytes()
    file.write_bytes(whole.replace(b'"value"', b'"<script>alert(1)</script>\\u202e"')[:-20])
    page.set_input_files("[name=file]", file)
    page.click("button:has-text('Import')")
    page.wait_for_selector("text=truncated")
    page.wait_for_load_state()
    assert "nothing of this file can be imported" in page.inner_text("#content")
    assert page.locator("#outcome").count() == 0


def test_transfer__cut_redis(open_page, connector, cut_redis):
    cut_redis()
    page = open_page(path(connector, "transfer/"))
    page.click("button:has-text('Export')")
    page.wait_for_url("**/export/")
    assert "Redis does not answer" in page.inner_text("#content")


def dry_run(page, file) -> str:
    page.set_input_files("[name=file]", file)
    page.click("button:has-text('Import')")
    page.wait_for_url("**/import/")
    return page.inner_text("#content")


def test_transfer__empty(open_page, connector, tmp_path):
    page = open_page(path(connector, "transfer/"))
    with page.expect_download() as download:
        page.click("button:has-text('Export')")
    file = tmp_path / "export.jsonl"
    download.value.save_as(file)
    assert re.search(r"new\s+0\s+would be stored", dry_run(page, file))


def test_transfer__huge_with_every_line_wrong(open_page, connector, tmp_path):
    page = open_page(path(connector, "transfer/"))
    with page.expect_download() as download:
        page.click("button:has-text('Export')")
    header = download.value.path().read_bytes().split(b"\n")[0]
    file = tmp_path / "export.jsonl"
    wrong = ('{"ns": "' + HOSTILE.replace("\x1b", "") + "n" * 500 + '"}\n').encode()
    file.write_bytes(header + b"\n" + wrong * 20_000)
    assert "20001 lines are not valid" in dry_run(page, file)


def test_keys__one_that_is_a_space_can_be_clicked(open_page, connector):
    connector.put("v", " ")
    page = open_page(path(connector, namespace="m365"))
    page.click("#result_list th a")
    page.wait_for_url("**keys/key/**")
    assert "m365 / ⟨U+0020⟩" in page.inner_text("#content h1")
