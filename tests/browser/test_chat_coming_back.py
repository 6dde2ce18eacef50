"""The chat page after a step back, an outage or a log-in: what it shows, asks and has the focus."""

import pytest
from playwright.sync_api import Request, Route, expect

from tests import servers
from tests.browser.chat_site import begin, by_api, conversations, converse
from tests.chat.calls import token

DESKTOP = pytest.mark.parametrize("width", ["desktop"], indirect=True)
PHONE = pytest.mark.parametrize("width", ["phone"], indirect=True)
BUSY = {"status": 503, "json": {"code": "busy", "detail": "The server is busy."}}
CHANGED = "new BroadcastChannel('statekeep.chat').postMessage('changed')"  # by another tab


def is_deletion(request: Request) -> bool:
    return request.method == "DELETE"


# --- Back to a conversation that is being deleted ---


@DESKTOP
def test_back__to_a_deleted_conversation_offers_the_undo_alone(open_tab, model, site, user):
    tab = open_tab()
    for text in ("first words", "second words"):
        begin(tab, model, text)
    tab.button("Delete").click()
    expect(tab.button("Undo")).to_be_focused()
    tab.message.focus()
    tab.page.go_back()
    expect(tab.button("Undo")).to_be_focused()
    expect(tab.page.locator("#said")).to_contain_text("Undo brings it back.")
    expect(tab.page.locator("#title")).to_have_text("New conversation")
    expect(tab.messages).to_have_count(0)
    expect(tab.button("Delete")).to_be_hidden()
    assert "#c=" not in tab.page.url
    tab.button("Undo").click()
    expect(tab.messages).to_have_count(2)
    assert tab.page.url.endswith("#c=2")
    tab.button("Delete").click()
    tab.page.go_back()
    with tab.page.expect_request(is_deletion):
        converse(tab, model, "third words")
    expect(tab.titles()).to_have_text(["third words", "first words"])
    assert len(by_api(site, user).messages("3")) == 2


@DESKTOP
def test_back__while_the_deletion_is_on_its_way(open_tab, hurry, model):
    hurry("actions", "UNDO_SECONDS", 1)
    tab = open_tab()
    begin(tab, model, "some words")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route) if is_deletion(route.request) else route.continue_()

    tab.page.route("**/conversations/1", hold)
    with tab.page.expect_request(is_deletion):
        tab.button("Delete").click()
    tab.page.go_back()
    expect(tab.page.locator(".toast")).to_have_text("“some words” is being deleted.")
    expect(tab.page.locator("#title")).to_have_text("New conversation")
    held[0].fulfill(**BUSY)
    expect(tab.titles()).to_have_text(["some words"])
    tab.titles().first.click()
    expect(tab.messages).to_have_count(2)


@DESKTOP
def test_deletion__has_a_fresh_token_when_the_page_is_left(open_tab, model, site, user):
    """The page has an expired token, and learns it by no other call."""
    begin(open_tab(), model, "some words")
    tab = open_tab(log_in=False)
    bearer = {"authorization": f"Bearer {token(sub=user)}"}
    tab.page.route(
        "**/api/**", lambda route: route.continue_(headers={**route.request.headers, **bearer})
    )

    def hand_out_expired(route: Route) -> None:
        answer = route.fetch()
        expired = token(sub=user, iat=999_999_990, exp=1_000_000_000)
        route.fulfill(response=answer, json={**answer.json(), "access": expired})

    tab.page.route("**/chat/session", hand_out_expired, times=1)
    tab.page.reload()
    tab.titles().first.click()
    expect(tab.messages).to_have_count(2)
    with tab.page.expect_response("**/chat/session") as renewal:
        tab.button("Delete").click()
    renewal.value.finished()
    tab.page.unroute("**/api/**")
    tab.page.goto("about:blank")
    servers.wait_until(lambda: conversations(site, user) == [], what="the deletion")


# --- While nobody is logged in ---


@DESKTOP
def test_back__after_a_log_out_asks_nothing(open_tab, model):
    tab = open_tab()
    begin(tab, model, "some words")
    tab.button("New").click()
    tab.button("Log out").click()
    expect(tab.button("Log in")).to_be_visible()
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    tab.page.go_back()
    assert tab.page.url.endswith("#c=1")
    tab.page.evaluate("fetch('/livez')")  # what was asked before is in the list by then
    assert not [url for url in asked if "/api/" in url]
    tab.log_in()
    expect(tab.messages).to_have_count(2)


@DESKTOP
def test_log_in__leads_to_the_message(open_tab):
    tab = open_tab(log_in=False)
    tab.log_in()
    expect(tab.message).to_be_focused()


# --- Outages ---


@DESKTOP
def test_list__is_current_once_the_network_is_back(open_tab, model, site, user):
    tab, other = open_tab(), open_tab()
    begin(tab, model, "some words")
    failure = tab.page.locator("#list-failure")
    tab.page.context.set_offline(True)
    other.page.evaluate(CHANGED)
    expect(failure).to_have_text("The server can't be reached.")
    rename(site, user, "1", "other words")
    tab.page.context.set_offline(False)
    expect(failure).to_be_hidden(timeout=5_000)
    expect(tab.titles()).to_have_text(["other words"])


def rename(site, user: str, conversation: str, title: str) -> None:
    api = by_api(site, user)
    url = f"{api.url}/conversations/{conversation}"
    api.session.patch(url, json={"title": title}, timeout=20).raise_for_status()


@DESKTOP
def test_list__is_asked_for_again_while_it_fails(open_tab, model, site, user):
    tab, other = open_tab(), open_tab()
    begin(tab, model, "some words")
    tab.page.route("**/conversations?*", lambda route: route.fulfill(**BUSY), times=2)
    other.page.evaluate(CHANGED)
    expect(tab.page.locator("#list-failure")).to_have_text("The server is busy.")
    rename(site, user, "1", "other words")
    expect(tab.titles()).to_have_text(["other words"], timeout=10_000)
    expect(tab.page.locator("#list-failure")).to_be_hidden()


@DESKTOP
def test_start__goes_on_by_itself_after_a_passing_failure(open_tab):
    tab = open_tab()
    tab.page.route("**/chat/session", lambda route: route.fulfill(**BUSY), times=2)
    tab.message.fill("half a thought")
    tab.page.reload()
    expect(tab.page.get_by_text("The server is busy. Trying again…")).to_be_visible()
    expect(tab.button("Log in")).to_be_hidden()
    expect(tab.message).to_have_value("half a thought")
    expect(tab.page.locator("#starting")).to_be_hidden()


@DESKTOP
def test_start__can_be_tried_again_by_hand(open_tab):
    tab = open_tab()
    tab.page.clock.install()
    tab.page.clock.pause_at("2100-01-01")  # nothing happens by itself
    tab.page.route("**/chat/session", lambda route: route.abort())
    tab.page.reload()
    expect(tab.page.get_by_text("The server can't be reached. Trying again…")).to_be_visible()
    tab.page.unroute("**/chat/session")
    tab.button("Try again").click()
    expect(tab.message).to_be_focused()


@DESKTOP
def test_start__without_a_session_is_the_log_in(open_tab):
    tab = open_tab()
    tab.page.route("**/chat/session", lambda route: route.fulfill(**BUSY), times=2)
    tab.page.context.clear_cookies()
    tab.page.reload()
    expect(tab.page.get_by_text("The server is busy. Trying again…")).to_be_visible()
    expect(tab.button("Log in")).to_be_visible()
    expect(tab.page.locator("#starting")).to_be_hidden()


# --- Where the focus is ---


def test_undo__leads_back_to_the_conversation(open_tab, model, width):
    """To its entry in the list, or to its messages where the list is out of sight."""
    tab = open_tab()
    converse(tab, model, "some words")
    tab.button("Delete").click()
    tab.button("Undo").click()
    place = "#transcript" if width == "phone" else "#conversations a"
    expect(tab.page.locator(place)).to_be_focused()
    expect(tab.messages).to_have_count(2)


@DESKTOP
@pytest.mark.parametrize("user", ["many"])
def test_more__leads_to_the_first_new_entry(open_tab):
    tab = open_tab()
    for shown in (50, 100, 150, 200, 250):
        expect(tab.titles()).to_have_count(shown)
        tab.button("More").focus()
        tab.page.keyboard.press("Enter")
    expect(tab.titles()).to_have_count(260)
    expect(tab.page.locator("#conversations a").nth(250)).to_be_focused()


@PHONE
def test_phone__what_the_list_covers_is_out_of_reach(open_tab, model):
    tab = open_tab()
    converse(tab, model, "some words")
    menu, close = tab.button("Conversations"), tab.button("Close the list")
    menu.click()
    expect(tab.page.get_by_label("Search titles")).to_be_focused()
    for _ in range(12):
        tab.page.keyboard.press("Tab")
        assert not tab.page.evaluate("document.activeElement.matches('#skip, #pane *')")
    tab.page.evaluate("document.activeElement.blur()")
    tab.page.keyboard.press("Escape")
    expect(close).to_be_hidden()
    expect(menu).to_be_focused()
    menu.click()
    tab.page.set_viewport_size({"width": 1000, "height": 800})
    tab.message.click()
    expect(tab.message).to_be_focused()
