"""Every page of admin in a browser while Redis, or the conversation store, is away.

The pages are found by their URLs. Each is loaded once, and must fit both widths.
"""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Error, Response
from playwright.sync_api import Page as Tab
from redis.exceptions import ConnectionError as RedisConnectionError

from chat.errors import StoreUnavailable
from chat.models import Conversation, Quarantine, Turn
from chat.repository import forget_repositories
from chat.repository.transport import Transport
from connector_state.models import Connector, Credential
from connector_state.store.scripts import connection
from tests.admin_pages import World, pages
from tests.browser.conftest import WIDTHS
from tests.chat.drive import ask
from tests.chat.operators import dead, one_of_each, quarantined
from tests.connectors import SigningConnector

pytestmark = pytest.mark.django_db(transaction=True)

IS_AWAY = re.compile("(Redis|conversation store) (does not answer|is away)")


@pytest.fixture(autouse=True)
def _fresh_repositories() -> Iterator[None]:
    forget_repositories()
    yield
    forget_repositories()


class Store:
    """A store that can be taken away, and counts who asks it then."""

    asked = 0

    def __init__(self, name: str, settings, monkeypatch: pytest.MonkeyPatch) -> None:
        self.name, self.settings, self.monkeypatch = name, settings, monkeypatch

    def take_away(self) -> None:
        if self.name == "redis":
            self.settings.REDIS_RETRY_SECONDS = 0
            self.monkeypatch.setattr(connection, "_evaluate", self.refuse_redis)
            self.monkeypatch.setattr("redis.Redis.execute_command", self.refuse_redis)
            self.monkeypatch.setattr("redis.client.Pipeline.execute", self.refuse_redis)
        else:
            self.settings.CHAT_STATE_STORE = "dapr"
            self.monkeypatch.setattr(Transport, "_request", self.refuse_chat)
        forget_repositories()

    def refuse_redis(self, *arguments: object, **options: object) -> None:
        self.asked += 1
        raise RedisConnectionError("refused")

    def refuse_chat(self, *arguments: object, **options: object) -> None:
        self.asked += 1
        raise StoreUnavailable()


@pytest.fixture(params=["redis", "conversation store"])
def store(request: pytest.FixtureRequest, settings, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Each of the two."""
    return Store(request.param, settings, monkeypatch)


def load(tab: Tab, url: str) -> Response | None:
    """Open a page; None: it is a file to save, or takes only POST."""
    try:
        return tab.goto(url)
    except Error as error:
        if "Download is starting" in error.message or tab.request.get(url).status == 405:
            return None
        raise


def faults(tab: Tab, status: int, *, was_asked: bool) -> Iterator[str]:
    """What is wrong with a page."""
    if status >= 500 and status != 503:
        yield f"status {status}"
    text = tab.inner_text("body")
    if "Traceback" in text or "Exception" in text:
        yield "a traceback"
    if (was_asked or status == 503) and not IS_AWAY.search(text):
        yield f"it does not say what is away: {text[-300:]}"
    for across, down in WIDTHS.values():
        tab.set_viewport_size({"width": across, "height": down})
        wide = tab.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        if wide > 0:
            yield f"{wide} px wider than {across} px"


@pytest.mark.parametrize("width", ["desktop"], indirect=True)
def test_every_page__says_what_is_away(context, live_server, store):
    world = World.create()
    store.take_away()
    tab = context.new_page()
    found, said = [], 0
    for page in pages():
        store.asked = 0
        forget_repositories()  # and with them the breaker
        answer = load(tab, live_server.url + world.named_url(page))
        if answer is None:
            tab = context.new_page()  # the other one may be on its way to the browser's own page
            continue
        said += bool(store.asked)
        wrong = faults(tab, answer.status, was_asked=store.asked > 0)
        found += [f"{page.pattern}: {fault}" for fault in wrong]
    assert not found
    assert said >= 4


# --- Clicks after the store has gone ---


@pytest.fixture
def tabs(context, live_server) -> Iterator[dict[str, Tab]]:
    """Open pages by name, to go on with when the store has gone."""

    class Tabs(dict[str, Tab]):
        def open(self, name: str, path: str) -> Tab:
            self[name] = context.new_page()
            answer = self[name].goto(live_server.url + path)
            assert answer is not None
            assert answer.status == 200
            return self[name]

    return Tabs()


def assert_all_say(tabs: dict[str, Tab], words: str) -> None:
    for name, tab in tabs.items():
        tab.wait_for_selector(f"text={words}")
        wide = tab.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, name


def test_key__redis_goes_before_the_click(tabs, cut_redis):
    connector = SigningConnector.create("m365 of contoso")
    connector.put("a value", "delta")
    base = f"/admin/connector_state/connector/{connector.uuid}/keys"
    query = "?namespace=m365&key=delta"
    tabs.open("value", f"{base}/key/{query}")
    tabs.open("edit", f"{base}/key/{query}")
    tabs.open("save", f"{base}/key/{query}").click("text=Edit")
    tabs["save"].fill("[name=value]", "another")
    tabs.open("expiry", f"{base}/key/expiry/{query}")
    tabs.open("delete", f"{base}/key/{query}").click("text=Delete…")
    new = tabs.open("new", f"{base}/new/?namespace=m365")
    new.fill("[name=key]", "fresh")
    cut_redis()
    tabs["value"].click("text=Show value")
    tabs["edit"].click("text=Edit")
    tabs["save"].click("[name=save]")
    tabs["expiry"].click(".submit-row button")
    tabs["delete"].click("text=Delete 1 key")
    new.click("[name=save]")
    assert_all_say(tabs, "Redis does not answer")


def test_credentials__need_no_redis(tabs, cut_redis):
    connector = SigningConnector.create("m365 of contoso")
    credential = Credential.objects.get()
    cut_redis()
    base = f"/admin/connector_state/connector/{connector.uuid}"
    tabs.open("issue", f"{base}/credentials/issue/").click("[type=submit].default")
    tabs["issue"].wait_for_selector("#secret")
    tabs.open("rotate", f"{base}/credentials/rotate/").click("[type=submit].default")
    tabs["rotate"].wait_for_selector("#secret")
    revoke = tabs.open("revoke", f"{base}/credentials/{credential.pk}/revoke/")
    assert "unknown: Redis does not answer" in revoke.inner_text("#content")
    revoke.click("text=Revoke it")
    revoke.wait_for_selector(".messagelist .success")
    disable = tabs.open("disable", f"{base}/disable/")
    disable.click("[type=submit].danger")
    disable.wait_for_selector(".messagelist .success")
    add = tabs.open("add", "/admin/connector_state/connector/add/")
    add.fill("[name=name]", "another")
    add.click("[type=submit].default")
    add.wait_for_selector("#secret")
    credential.refresh_from_db()
    assert credential.revoked_at is not None
    assert not Connector.objects.get(pk=connector.uuid).enabled


@pytest.mark.parametrize("store", ["conversation store"], indirect=True)
def test_conversations__the_store_goes_before_the_click(tabs, store):
    rows = one_of_each()
    ask("hello", "waiting")
    Turn.objects.filter(conversation_id="waiting").update(state=Turn.State.ANSWERED)
    binary = quarantined(b"\xff", "binary")
    waiting = Conversation.objects.get(conversation_id="waiting")
    tabs.open("restore", rows.path("quarantine/restore"))
    tabs["restore"].click("text=Begin with an empty conversation")
    tabs.open("discard", f"/admin/chat/quarantine/{binary.pk}/discard/")
    full = Conversation.objects.get(conversation_id="full")
    tabs.open("delete", f"/admin/chat/conversation/{full.pk}/delete/")
    tabs.open("replay", f"/admin/chat/conversation/{waiting.pk}/change/")
    for page in ("Export", "Download the stored document"):
        tabs.open(page, rows.path("conversation/change"))
    store.take_away()
    tabs["restore"].click("button:text('Restore')")
    tabs["discard"].click("button:text('Discard the state')")
    tabs["delete"].click("text=Delete the conversation")
    tabs["replay"].click("text=Replay waiting turns")
    tabs["Export"].click(".page-actions >> text=Export")
    tabs["Download the stored document"].click("text=Download the stored document")
    tabs["delete"].wait_for_selector("text=The conversation store does not answer: what it holds")
    del tabs["delete"]
    assert_all_say(tabs, "The conversation store does not answer right now")


@pytest.mark.parametrize("store", ["conversation store"], indirect=True)
def test_copies_and_letters__need_no_store(tabs, store):
    copy = quarantined(b"{")
    Quarantine.objects.update(resolved_at="2026-01-01T00:00:00Z")
    for name in ("discarded", "edited"):
        dead(ask("hello", name))
    letters = {turn.conversation_id: turn.pk for turn in Turn.objects.all()}
    store.take_away()
    drop = tabs.open("drop", f"/admin/chat/quarantine/{copy.pk}/drop/")
    drop.click("text=Delete the copy")
    drop.wait_for_selector(".messagelist .success")
    discard = tabs.open("discard", f"/admin/chat/deadletter/{letters['discarded']}/discard/")
    discard.click("button:text('Discard the dead letter')")
    discard.wait_for_selector(".messagelist .success")
    edit = tabs.open("edit", f"/admin/chat/deadletter/{letters['edited']}/edit/")
    edit.click("text=Put it back into the queue")
    edit.wait_for_selector("text=it waits for the store")
