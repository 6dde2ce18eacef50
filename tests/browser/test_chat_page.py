"""The chat page in a real Chromium, on a real granian, with a model that a test speaks for."""

import os
import sqlite3

import pytest
import requests
from playwright.sync_api import Route, expect

from tests import servers
from tests.browser.axe import axe_violations
from tests.browser.chat_site import begin, by_api, conversations, keep
from tests.chat.calls import token

DESKTOP = pytest.mark.parametrize("width", ["desktop"], indirect=True)
SCREENSHOTS = os.environ.get("SCREENSHOTS")


# --- Log in and out ---


@DESKTOP
def test_log_in__wrong_password_then_out(open_tab, site):
    tab = open_tab(log_in=False)
    tab.log_in("wrong")
    expect(tab.page.get_by_role("alert")).to_have_text("The user name or the password is wrong.")
    tab.log_in()
    expect(tab.message).to_be_visible()
    [cookie] = tab.page.context.cookies(f"{site.server.url}/chat/session")
    assert cookie["httpOnly"]
    assert (cookie["sameSite"], cookie["path"]) == ("Strict", "/chat/session")
    kept = "JSON.stringify([document.cookie, {...localStorage}, {...sessionStorage}])"
    assert "ey" not in tab.page.evaluate(kept)  # as each JWT begins
    tab.button("Log out").click()
    expect(tab.button("Log in")).to_be_visible()
    assert not tab.page.context.cookies(f"{site.server.url}/chat/session")
    ended = {"Cookie": f"chat_refresh={cookie['value']}", "Origin": site.server.url}
    answer = requests.patch(f"{site.server.url}/chat/session", headers=ended, timeout=20)
    assert answer.status_code == 401


@DESKTOP
def test_draft__survives_a_reload_and_no_log_out(open_tab):
    tab = open_tab()
    tab.message.fill("half a thought")
    tab.page.reload()
    expect(tab.message).to_have_value("half a thought")
    other = open_tab()
    expect(other.message).to_have_value("")
    other.button("Log out").click()
    expect(tab.button("Log in")).to_be_visible()
    assert tab.page.evaluate("sessionStorage.length") == 0
    tab.log_in()
    expect(tab.message).to_have_value("")


@DESKTOP
@pytest.mark.parametrize("by", ["this tab", "another tab", "its end"])
def test_log_out__leaves_nothing_behind(open_tab, model, user, by):
    """A title that is being changed, and a deletion that can be undone, are open then."""
    tab = open_tab()
    for secret in ("secret one", "secret two"):
        begin(tab, model, secret)
    other = open_tab()
    tab.button("Delete").click()
    tab.titles().first.click()
    expect(tab.page.locator("#said")).to_contain_text("secret")
    tab.button("Rename").click()
    if by == "this tab":
        tab.page.keyboard.press("Escape")
        tab.button("Log out").click()
    elif by == "another tab":
        other.button("Log out").click()
    else:
        tab.page.context.clear_cookies()
        refused = {"status": 401, "json": {"code": "token_expired", "detail": "x"}}
        tab.page.route("**/api/**", lambda route: route.fulfill(**refused))
        other.page.evaluate("new BroadcastChannel('statekeep.chat').postMessage('changed')")
    expect(tab.button("Log in")).to_be_visible()
    assert tab.page.title() == "Chat | Statekeep"
    html = "[...document.querySelectorAll('input, textarea')].map(e => e.value).join()"
    assert "secret" not in tab.page.evaluate(f"document.documentElement.outerHTML + {html}")
    tab.page.get_by_label("User name").fill(user)  # it is not behind a dialog
    tab.page.unroute("**/api/**")
    tab.log_in()
    if by == "its end":
        expect(tab.titles()).to_have_text(["secret two", "secret one"])
    else:  # the tokens of the tab were good for it
        expect(tab.titles()).to_have_text(["secret one"])


@DESKTOP
def test_token__expires_in_mid_conversation(open_tab, model, user):
    tab = open_tab(log_in=False)
    expired = token(sub=user, exp=1_000_000_000)

    def hand_out_expired(route):
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "access": expired})

    tab.page.route("**/chat/session", hand_out_expired, times=1)
    tab.log_in()
    tab.say("hello")
    asked = model.asked()
    asked.say("hello to you")
    asked.end()
    tab.replies("hello to you")


@DESKTOP
def test_session__ends_in_mid_conversation(open_tab, model):
    tab = open_tab()
    tab.page.context.clear_cookies()
    tab.page.route(
        "**/api/**",
        lambda route: route.fulfill(status=401, json={"code": "token_expired", "detail": "x"}),
        times=1,
    )
    tab.say("hello")
    expect(tab.page.get_by_text("Your session has ended.")).to_be_visible()
    tab.log_in()
    asked = model.asked()
    asked.say("hello again")
    asked.end()
    tab.replies("hello again")


# --- Conversations ---


def test_conversation__with_tools_word_by_word(open_tab, model):
    tab = open_tab()
    tab.say("Please buy milk, <b>today</b>")
    asked = model.asked()
    asked.say("One moment")
    expect(tab.reply.locator(".text")).to_have_text("One moment")
    asked.call("add_task", title="Buy milk")
    asked.end()
    asked = model.asked()
    for words in ("I have", " added", " **Buy milk**", " as task 1."):
        asked.say(words)
    expect(tab.reply.locator(".text")).to_have_text("I have added Buy milk as task 1.")
    assert tab.button("Stop").is_visible()
    asked.end()
    tab.replies("I have added Buy milk as task 1.")
    expect(tab.page.locator(".message.user .text")).to_have_text("Please buy milk, <b>today</b>")
    expect(tab.message).to_be_focused()
    call = tab.reply.locator("details")
    expect(call.locator("pre").first).to_be_hidden()
    call.locator("summary").click()
    expect(call.locator("pre").first).to_contain_text('"title": "Buy milk"')
    expect(tab.page.locator("#said")).to_contain_text("I have added")
    assert "#c=1" in tab.page.url


def test_stop__keeps_the_words_so_far(open_tab, model, width):
    """A stop that fails can be tried again."""
    tab = open_tab()
    tab.say("tell me a story")
    model.asked().say("Once upon")
    expect(tab.reply.locator(".text")).to_have_text("Once upon")
    refused = {"status": 503, "json": {"code": "busy", "detail": "The server is busy."}}
    tab.page.route("**/stop", lambda route: route.fulfill(**refused), times=1)
    tab.button("Stop").click()
    expect(tab.page.get_by_text("Not stopped: The server is busy.")).to_be_visible()
    expect(tab.reply.locator(".note")).to_have_text("Answering…")
    tab.message.dispatch_event("keydown", {"key": "Escape", "isComposing": True})
    expect(tab.reply.locator(".note")).to_have_text("Answering…")
    if width == "phone":
        tab.button("Stop").click()
    else:
        tab.message.press("Escape")
    expect(tab.reply.locator(".note")).to_have_text("Stopped.")
    tab.replies("Once upon")


@DESKTOP
def test_reload__in_mid_turn_attaches(open_tab, model, site, user):
    tab = open_tab()
    tab.say("tell me a story")
    asked = model.asked()
    asked.say("Once upon")
    expect(tab.reply.locator(".text")).to_have_text("Once upon")
    tab.page.reload()
    expect(tab.reply.locator(".text")).to_have_text("Once upon")
    tab.reply.locator("p").first.evaluate("words => getSelection().selectAllChildren(words)")
    asked.say(" a time")
    expect(tab.reply.locator(".text")).to_have_text("Once upon a time")
    asked.end()
    tab.replies("Once upon a time")
    assert tab.page.evaluate("getSelection().toString()") == "Once upon a time"
    expect(tab.messages).to_have_count(2)
    assert len(by_api(site, user).messages("1")) == 2


@DESKTOP
def test_two_tabs__see_each_others_messages(open_tab, model):
    one, two = open_tab(), open_tab()
    one.say("hello")
    asked = model.asked()
    two.titles().first.click()
    expect(two.messages).to_have_count(1)
    expect(two.page.get_by_text("Being answered…")).to_be_visible()
    asked.say("hello to you")
    asked.end()
    two.replies("hello to you")
    two.say("and you?")
    asked = model.asked()
    asked.say("well")
    asked.end()
    one.replies("well")
    expect(one.messages).to_have_count(4)
    one.say("tell me a story")
    asked = model.asked()
    expect(two.button("Send")).to_be_visible()  # what another tab sent holds nothing up
    two.button("Stop").click()
    expect(one.reply.locator(".note")).to_have_text("Stopped.")
    expect(two.reply.locator(".note")).to_have_text("Stopped.")
    expect(two.button("Send")).to_be_visible()
    asked.end()


@DESKTOP
def test_list__search_rename_undo_and_delete(open_tab, model, site, user):
    tab = open_tab()
    for text in ("first words", "second words"):
        begin(tab, model, text)
    expect(tab.titles()).to_have_text(["second words", "first words"])
    tab.button("Rename").click()
    tab.page.get_by_label("Title", exact=True).fill("Other Title")
    lists: list[Route] = []  # which come last
    tab.page.route("**/conversations?*", lambda route: lists.append(route))
    with tab.page.expect_response("**/messages"):
        tab.page.keyboard.press("Enter")
    for each in lists:
        each.continue_()
    tab.page.unroute("**/conversations?*")
    expect(tab.titles()).to_have_text(["Other Title", "first words"])
    expect(tab.page).to_have_title("Other Title | Statekeep", timeout=5_000)  # sooner than it polls
    tab.page.get_by_label("Search titles").press_sequentially("other t")
    expect(tab.titles()).to_have_text(["Other Title"])
    tab.titles().first.click()
    tab.page.get_by_label("Search titles").fill("first")
    expect(tab.titles()).to_have_text(["first words"])
    expect(tab.page.locator("#title")).to_have_text("Other Title")
    tab.page.get_by_label("Search titles").fill("")
    expect(tab.titles()).to_have_count(2)
    with tab.page.expect_download() as download:
        tab.button("Export").click()
    assert "reply to second words" in download.value.path().read_text()
    tab.button("Delete").click()
    expect(tab.titles()).to_have_text(["first words"])
    expect(tab.button("Undo")).to_be_focused()
    tab.button("Undo").click()
    expect(tab.titles()).to_have_text(["Other Title", "first words"])
    expect(tab.messages).to_have_count(2)
    tab.button("Delete").click()
    expect(tab.titles()).to_have_text(["first words"])
    assert len(by_api(site, user).messages("2")) == 2  # no request yet
    with tab.page.expect_request(lambda each: each.method == "DELETE", timeout=20_000):
        pass
    expect(tab.button("Undo")).to_be_hidden()
    tab.page.reload()
    tab.titles().first.click()
    expect(tab.messages).to_have_count(2)
    tab.button("Delete").click()
    tab.page.goto("about:blank")  # whoever leaves does not want it back
    servers.wait_until(lambda: conversations(site, user) == [], what="the deletion")


@DESKTOP
@pytest.mark.parametrize("user", ["many"])
def test_list__more_than_a_page(open_tab):
    tab = open_tab()
    expect(tab.titles()).to_have_count(50)
    tab.button("More").dblclick()
    expect(tab.titles()).to_have_count(100)
    for shown in (150, 200, 250):
        tab.button("More").click()
        expect(tab.titles()).to_have_count(shown)
    with tab.page.expect_response("**/conversations?*"):
        tab.page.evaluate("new BroadcastChannel('statekeep.chat').postMessage('changed')")
    expect(tab.titles()).to_have_count(250)
    # A search that is begun meanwhile is not mixed with what comes then.
    asked: list[Route] = []
    tab.page.route("**/conversations?*", lambda route: asked.append(route))
    tab.button("More").click()
    with tab.page.expect_request("**/conversations?*search=title*"):
        tab.page.get_by_label("Search titles").fill("title 7")
    for each in reversed(asked):
        each.continue_()
    tab.page.unroute("**/conversations?*")
    expect(tab.titles()).to_have_count(11)
    tab.page.wait_for_load_state("networkidle")
    expect(tab.titles()).to_have_count(11)


@DESKTOP
def test_model__fails_and_is_asked_again_by_the_same_key(open_tab, model, site, user):
    tab = open_tab()
    tab.say("hello")
    asked = model.asked()
    asked.say("hel")
    expect(tab.reply.locator(".text")).to_have_text("hel")
    asked.break_off()
    expect(tab.reply.locator(".note")).to_contain_text("The model failed")
    tab.page.reload()
    expect(tab.reply.locator(".note")).to_contain_text("The model failed")
    tab.button("Try again").click()
    asked = model.asked()
    asked.say("hello to you")
    asked.end()
    tab.replies("hello to you")
    assert [each["role"] for each in by_api(site, user).messages("1")] == ["user", "assistant"]


@DESKTOP
def test_silent_stream__is_asked_for_again(open_tab, hurry, model, proxy):
    hurry("events", "SILENCE_SECONDS", 2)
    tab = open_tab(url=proxy.url)
    tab.say("tell me a story")
    asked = model.asked()
    asked.say("Once upon")
    expect(tab.reply.locator(".text")).to_have_text("Once upon")
    proxy.stall_streams()
    asked.say(" a time")
    expect(tab.reply.locator(".text")).to_have_text("Once upon a time")
    asked.end()
    tab.replies("Once upon a time")
    expect(tab.messages).to_have_count(2)


@DESKTOP
def test_silent_stream__is_over_when_the_server_shows_the_reply(open_tab, hurry, model, proxy):
    hurry("conversation", "LATER_SECONDS", 1)
    tab = open_tab(url=proxy.url)
    for is_stopped in (False, True):
        tab.say("tell me a story")
        asked = model.asked()
        asked.say("Once upon")
        expect(tab.reply.locator(".text")).to_have_text("Once upon")
        proxy.stall_streams()
        if is_stopped:
            tab.button("Stop").click()
        else:
            asked.say(" a time")
            asked.end()
        tab.replies("Once upon" if is_stopped else "Once upon a time")
        said = "Stopped." if is_stopped else "Assistant: Once upon a time"
        expect(tab.page.locator("#said")).to_have_text(said)
    asked.end()


@DESKTOP
def test_store__away_and_back(open_tab, model, site, user):
    tab = open_tab()
    site.stop_valkey()
    try:
        tab.say("hello")
        asked = model.asked()
        asked.say("hello to you")
        asked.end()
        tab.replies("hello to you")
        expect(tab.page.get_by_text("does not answer right now")).to_be_visible()
        expect(tab.messages.first).to_contain_text("Not in the conversation store yet")
        tab.screenshot(SCREENSHOTS, "chat-degraded")
    finally:
        site.start_valkey()
    expect(tab.page.get_by_text("does not answer right now")).to_be_hidden()
    tab.say("are you back?")
    asked = model.asked()
    asked.say("yes")
    asked.end()
    tab.replies("yes")
    expect(tab.page.locator(".note")).to_have_count(0)
    with sqlite3.connect(site.folder / "db.sqlite3") as database:
        database.execute(
            "UPDATE chat_turn SET state = 'dead letter' WHERE user_id = ? AND message = 'hello'",
            [user],
        )
    tab.page.reload()
    expect(tab.messages.first).to_contain_text("a dead letter")


@DESKTOP
def test_forms__say_what_is_wrong_while_it_is(open_tab, model):
    tab = open_tab()
    tab.say("x" * 10_001)
    wrong = tab.page.locator("#too-long")
    expect(wrong).to_contain_text("has 10001 characters")
    tab.message.fill("x")
    expect(wrong).to_be_hidden()
    tab.message.fill("hello")
    tab.page.locator("#skip").press("Enter")
    expect(tab.message).to_be_focused()
    tab.message.press("Enter")
    asked = model.asked()
    asked.say("hello to you")
    asked.end()
    tab.replies("hello to you")
    tab.say("x" * 10_001)
    expect(wrong).to_be_visible()
    tab.button("New").click()
    expect(wrong).to_be_hidden()
    tab.titles().first.click()
    tab.button("Rename").click()
    tab.page.get_by_label("Title", exact=True).fill("  ")
    tab.page.keyboard.press("Enter")
    expect(tab.page.get_by_role("dialog")).to_be_visible()
    tab.button("Cancel").click()


@pytest.mark.parametrize("width", ["phone"], indirect=True)
def test_phone__the_list_is_in_front_but_for_an_undo(open_tab, model):
    tab = open_tab()
    tab.say("hello")
    asked = model.asked()
    asked.say("hello to you")
    asked.end()
    tab.replies("hello to you")
    tab.button("Conversations").click()
    tab.page.locator("#conversations a").press("Enter")
    expect(tab.page.locator("#transcript")).to_be_focused()
    tab.button("Delete").click()
    tab.button("Conversations").click()
    tab.screenshot(SCREENSHOTS, "chat-undo-list-phone")
    tab.button("Undo").click()
    expect(tab.titles()).to_have_text(["hello"])
    tab.message.fill("line\n" * 30)
    tab.button("Delete").click()
    tab.message.fill("line\n" * 30)
    toast, form = tab.page.locator(".toast"), tab.page.locator("#compose")
    tab.screenshot(SCREENSHOTS, "chat-undo-draft-phone")
    assert toast.bounding_box()["y"] + toast.bounding_box()["height"] <= form.bounding_box()["y"]
    tab.button("Undo").click()


# --- What is shown ---

HOSTILE = """<script>alert(1)</script> <img src="https://evil.example/a.png" onerror="alert(2)">

![picture](https://evil.example/b.png) [bank.example](https://evil.example/login)
[x](javascript:alert(3)) [y](https://bank.example@evil.example/) https://plain.example/a?b=c.

- one
  - **two** `code`
1. three

> quoted \u202e dlrow olleh

| a | b |
|---|---|
| 1 | *2* |

```html
<iframe src="https://evil.example"></iframe>
```
<link rel=preload href=https://evil.example/c> <style>@import 'https://evil.example/d'</style>

"""


def test_hostile_content__is_text(open_tab, model):
    tab = open_tab()
    tab.say("\u202e\u2067<img src=x onerror=alert(1)>\u05d0" + "x" * 5_000)
    asked = model.asked()
    asked.say(HOSTILE)
    asked.say("y" * 10_000)
    asked.end()
    expect(tab.button("Send")).to_be_visible()
    reply = tab.reply.locator(".text")
    expect(reply).to_contain_text("<script>alert(1)</script>")
    made = reply.evaluate("e => [...new Set([...e.querySelectorAll('*')].map(x => x.localName))]")
    assert not set(made) & {"img", "script", "iframe", "style", "link", "input", "form", "svg"}
    links = reply.locator("a")
    addresses = links.evaluate_all("all => all.map(a => [a.href, a.rel])")
    assert addresses == [
        [address, "noreferrer noopener"]
        for address in (
            "https://evil.example/a.png",
            "https://evil.example/b.png",
            "https://evil.example/login",
            "https://plain.example/a?b=c",
            "https://evil.example/c",
            "https://evil.example/d",
        )
    ]
    expect(reply).to_contain_text("bank.example (evil.example)")
    expect(reply.locator("ul ul strong")).to_have_text("two")
    expect(reply.locator("td em")).to_have_text("2")
    expect(tab.messages).to_have_count(2)
    reply.evaluate("element => element.scrollIntoView()")  # for the screenshot


def test_200_messages__come_in_pages(open_tab, site, user):
    keep(site, user, "long", 200)
    tab = open_tab()
    tab.page.goto(f"{tab.url}/chat/#c=long")
    expect(tab.messages).to_have_count(50)
    expect(tab.messages.last).to_be_in_viewport()
    for loaded in (100, 150, 200):
        tab.button("Earlier messages").click()
        expect(tab.messages).to_have_count(loaded)
    expect(tab.messages.first).to_contain_text("message 0")
    expect(tab.button("Earlier messages")).to_be_hidden()


def test_axe__finds_nothing_serious(open_tab, model, width):
    """Light on a desktop, dark on a phone: the colours are the same on both."""
    tab = open_tab(log_in=False)
    tab.page.emulate_media(color_scheme="dark" if width == "phone" else "light")
    found = axe_violations(tab.page)
    tab.log_in()
    tab.say("Please buy milk")
    asked = model.asked()
    asked.call("add_task", title="Buy milk")
    asked.end()
    asked = model.asked()
    asked.say("Done: `1`. See https://example.org and\n\n> *so* on\n\n```\ncode\n```\n")
    found += axe_violations(tab.page)
    asked.end()
    expect(tab.button("Send")).to_be_visible()
    if width == "phone":
        tab.button("Conversations").click()
        found += axe_violations(tab.page)
        tab.screenshot(SCREENSHOTS, "chat-list-phone")
        tab.button("Close the list").click()
    found += axe_violations(tab.page)
    tab.button("Rename").click()
    found += axe_violations(tab.page)
    tab.button("Cancel").click()
    assert not found
