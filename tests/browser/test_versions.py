"""Earlier values of a key in the browser: the walk of an operator who brings one back."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from django_redis import get_redis_connection

from connector_state.models import Connector
from connector_state.store.keys import connector_keys
from tests.browser.test_keys import key_path, path
from tests.connectors import SigningConnector

pytestmark = pytest.mark.django_db(transaction=True)

YESTERDAY = '{"deltaLink": "https://graph.example.com/delta?token=yesterday"}'


@pytest.fixture
def connector(superuser: User) -> SigningConnector:
    """One connector of several, in which yesterday's value of "delta:ann" was overwritten."""
    for name in ("a", "b", "c"):
        SigningConnector.create(f"onedrive of {name}")
    connector = SigningConnector.create("m365 of contoso")
    for key in ("delta:ann", "delta:ben", "drive"):
        connector.put(YESTERDAY, key)
    connector.put('{"deltaLink": "broken"}', "delta:ann")
    history = connector_keys(connector.uuid).named("history")
    redis = get_redis_connection()
    head, old = redis.hget(history, "m365:delta:ann").splitlines(keepends=True)
    at, rest = old.split(b" ", 1)
    yesterday = b"%013d" % ((timezone.now() - timedelta(days=1)).timestamp() * 1000)
    redis.hset(history, "m365:delta:ann", head + yesterday + b" " + rest)
    redis.hset(history, b"\0" + yesterday + b"m365:delta:ann", YESTERDAY)
    redis.hdel(history, b"\0" + at + b"m365:delta:ann")
    return connector


def test_restore__yesterdays_value_from_the_start_page(open_page, connector):
    page = open_page("/admin/")
    clicks = 0

    def click(selector: str, until: str) -> None:
        nonlocal clicks
        clicks += 1
        page.click(selector)
        page.wait_for_url(until)

    page.fill("#site-search", "contoso")
    click("#content [value=Search]", "**/search/**")
    click("#content li >> text=contoso", "**/change/")
    page.fill("#find-text", "ann")
    click("#content [value=Search]", "**/keys/find/**")
    click("#result_list a", "**keys/key/**")
    click("text=Restore…", "**/restore/**")
    assert "token=yesterday" in page.inner_text("#content")
    page.check("[name=hold]")
    clicks += 1
    click("button:text('Restore')", "**keys/key/**")
    assert "Restored an earlier value" in page.inner_text(".messagelist")
    assert connector.get("delta:ann").json()["value"] == YESTERDAY
    assert Connector.objects.get(pk=connector.uuid).read_only
    assert "writes are held" in page.inner_text("#content")
    click("button:text('Let go')", "**/change/")
    assert not Connector.objects.get(pk=connector.uuid).read_only
    assert clicks == 8


def test_restore__let_go_on_the_connectors_page(open_page, connector):
    Connector.objects.filter(pk=connector.uuid).update(read_only=True)
    page = open_page(path(connector, "change/"))
    page.click("button:text('Let go')")
    page.wait_for_selector(".success")
    assert not Connector.objects.get(pk=connector.uuid).read_only


def test_restore__question(open_page, connector):
    connector.put("x" * 3000, "delta:ann")
    page = open_page(key_path(connector, "delta:ann"))
    page.click("text=Restore… >> nth=-1")
    page.wait_for_url("**/restore/**")
    assert "token=yesterday" in page.inner_text("pre.value >> nth=1")


def test_deleted__is_found_and_opened(open_page, connector):
    connector.delete("delta:ann")
    connector.put("x", "long" + "é" * 250)
    connector.delete("long" + "é" * 250)
    page = open_page(path(connector))
    page.click("text=Deleted keys")
    page.wait_for_url("**/deleted/")
    assert page.locator("#result_list tbody tr").count() == 2
    page.click("text=delta:ann")
    page.wait_for_url("**keys/key/**")
    assert "it was deleted, or expired, at" in page.inner_text("#content")
    page.go_back()
