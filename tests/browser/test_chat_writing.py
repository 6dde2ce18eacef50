"""What is written in the chat page, and how it is shown: without a tab's storage, from the right to
the left, by keyboard, and more than may be sent.
"""

import os

import pytest
from playwright.sync_api import Route, expect

from tests.browser.chat_page import ChatTab
from tests.browser.chat_site import keep

DESKTOP = pytest.mark.parametrize("width", ["desktop"], indirect=True)
SCREENSHOTS = os.environ.get("SCREENSHOTS")


def answer(tab: ChatTab, model, *words: str) -> None:
    """Have the model answer, to the end."""
    asked = model.asked()
    for each in words:
        asked.say(each)
    asked.end()
    expect(tab.button("Send")).to_be_visible()


# --- Without the tab's storage ---

BLOCKED = """Object.defineProperty(window, "sessionStorage", {
  get() { throw new DOMException("blocked", "SecurityError"); },
})"""
FULL = """Storage.prototype.setItem = () => {
  throw new DOMException("full", "QuotaExceededError");
}"""
ANOTHERS = """sessionStorage.setItem("statekeep.chat.owner", "another");
sessionStorage.setItem("statekeep.chat.drafts", JSON.stringify({ "": "a secret" }));
Storage.prototype.removeItem = Storage.prototype.setItem = () => {
  throw new DOMException("full", "QuotaExceededError");
}"""


@DESKTOP
@pytest.mark.parametrize("storage", [BLOCKED, FULL, ANOTHERS], ids=["blocked", "full", "anothers"])
def test_storage__the_page_works_without(open_tab, browser, model, storage):
    browser.contexts[-1].add_init_script(storage)
    tab = open_tab(log_in=False)
    tab.log_in()
    expect(tab.message).to_have_value("")
    tab.say("hello")
    answer(tab, model, "hello to you")
    tab.message.fill("half a thought")
    tab.page.reload()
    expect(tab.reply.locator(".text")).to_have_text("hello to you")
    expect(tab.message).to_have_value("")
    tab.button("Log out").click()
    expect(tab.page.get_by_text("You are logged out.")).to_be_visible()


# --- From the right to the left ---

HEBREW = """הרשימה:

- לחם עם `npm install` גם חלב
- English words, *and* more
  1. ביצים
  2. גבינה

> ציטוט של מישהו

| שם | מחיר |
|---|---|
| לחם | 12 |
"""
MIXED = """```
שתיים = 1
```
- one
- שתיים
  - שלוש

1. `code` לפני המילים
1. [קישור](https://a.example/)

> quoted

| a | b |
|---|---|
| 1 | שתיים |
"""
SIDES = """all => all.map((each) => {
  const inner = each.querySelector("li, p, th");
  const box = each.getBoundingClientRect(), there = inner.getBoundingClientRect();
  const { direction } = getComputedStyle(inner.localName === "p" ? each : inner.parentElement);
  return [direction, Math.round(there.left - box.left), Math.round(box.right - there.right)];
})"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_lists_and_quotes__run_as_their_words_do(open_tab, model, width, scheme):
    tab = open_tab()
    tab.page.emulate_media(color_scheme=scheme)
    tab.say("שלום")
    answer(tab, model, HEBREW)
    sides = tab.reply.locator("ul, ol").evaluate_all(SIDES)
    assert sides == [["rtl", 0, 40]] * 2  # there are the marks
    assert tab.reply.locator("blockquote").evaluate_all(SIDES) == [["rtl", 0, 16]]
    assert tab.reply.locator("table").evaluate("e => getComputedStyle(e).direction") == "rtl"
    first, second = tab.reply.locator("th").all()
    assert second.bounding_box()["x"] < first.bounding_box()["x"]
    aligned = "all => [...new Set(all.map((each) => getComputedStyle(each).textAlign))]"
    assert tab.reply.locator("li, th, td").evaluate_all(aligned) == ["right"]
    tab.screenshot(SCREENSHOTS, f"chat-hebrew-{width}-{scheme}")
    tab.say("and mixed?")
    answer(tab, model, MIXED)
    assert tab.reply.locator("ul, ol").evaluate_all(SIDES) == [
        ["ltr", 40, 0],
        ["rtl", 0, 40],
        ["rtl", 0, 40],
    ]
    assert tab.reply.locator("blockquote").evaluate_all(SIDES) == [["ltr", 16, 0]]
    assert tab.reply.locator("table").evaluate("e => getComputedStyle(e).direction") == "ltr"
    assert tab.reply.locator("pre").evaluate("e => getComputedStyle(e).direction") == "ltr"


@DESKTOP
def test_list__has_room_for_its_numbers(open_tab, model):
    tab = open_tab()
    tab.say("years?")
    answer(tab, model, "998. a\n1. b\n\nand\n\n999. a\n1. b\n\nand\n\n2024. year\n\nand\n\n- a")
    position = "all => all.map((each) => getComputedStyle(each).listStylePosition)"
    positions = tab.reply.locator("ul, ol").evaluate_all(position)
    assert positions == ["outside", "inside", "inside", "outside"]


@DESKTOP
def test_marks_of_direction__stay_in_their_block(open_tab, model):
    """The words after an item with a hostile mark are where they are without it."""
    where = """element => Array.from(element.querySelectorAll("li:last-child, p"), (each) => {
      const words = document.createRange();
      words.setStart(each.firstChild, 0);
      words.setEnd(each.firstChild, 3);
      return words.getBoundingClientRect().x;
    })"""
    tab = open_tab()
    found = []
    for mark in ("", "\u202e\u2067"):
        tab.say("list")
        answer(tab, model, f"- one {mark}two\n- three four\n\nfive six\n")
        found.append(tab.reply.locator(".text").evaluate(where))
    assert found[0] == found[1]


# --- The focus ---


@DESKTOP
def test_focus__stays_with_the_messages_when_no_earlier_ones_are_left(open_tab, site, user):
    keep(site, user, "long", 60)
    tab = open_tab()
    tab.page.goto(f"{tab.url}/chat/#c=long")
    tab.button("Earlier messages").press("Enter")
    expect(tab.messages).to_have_count(60)
    expect(tab.button("Earlier messages")).to_be_hidden()
    expect(tab.page.locator("#transcript")).to_be_focused()


@DESKTOP
def test_focus__goes_to_the_message_when_stop_goes(open_tab, model):
    tab = open_tab()
    tab.say("hello")
    asked = model.asked()
    asked.say("hello to you")
    expect(tab.reply.locator(".text")).to_have_text("hello to you")
    tab.button("Stop").focus()
    asked.end()
    tab.replies("hello to you")
    expect(tab.message).to_be_focused()


@DESKTOP
@pytest.mark.parametrize("by", ["Try again", "itself"])
def test_focus__goes_to_the_message_when_the_failure_goes(open_tab, site, user, by):
    keep(site, user, "short", 2)
    tab = open_tab()
    busy = {"status": 503, "json": {"code": "busy", "detail": "The server is busy."}}
    tab.page.route("**/messages", lambda route: route.fulfill(**busy))
    tab.page.goto(f"{tab.url}/chat/#c=short")
    again = tab.button("Try again")
    again.focus()
    tab.page.unroute("**/messages")
    if by == "Try again":
        again.press("Enter")
    expect(tab.page.get_by_text("The server is busy.")).to_be_hidden()
    expect(tab.message).to_be_focused()


@DESKTOP
@pytest.mark.parametrize("clipboard", ["undefined", "{ writeText: () => Promise.reject() }"])
def test_focus__stays_on_copy_without_a_clipboard(open_tab, browser, model, clipboard):
    browser.contexts[-1].add_init_script(
        f"Object.defineProperty(navigator, 'clipboard', {{ value: {clipboard} }})"
    )
    tab = open_tab()
    tab.say("hello")
    answer(tab, model, "hello to you")
    copy = tab.reply.get_by_role("button", name="Copy")
    copy.press("Enter")
    expect(tab.page.locator("#toasts")).to_have_text("Copied.")
    expect(copy).to_be_focused()
    tab.message.press("Control+v")
    expect(tab.message).to_have_value("hello to you")
    tab.page.evaluate("document.execCommand = () => false")
    copy.press("Enter")
    expect(tab.page.get_by_text("Not copied")).to_be_visible()


# --- Stop ---

SEEN = """() => {
  window.seen = new Set();
  const look = () => seen.add(document.querySelector(".assistant .text")?.textContent);
  const all = { childList: true, characterData: true, subtree: true };
  new MutationObserver(look).observe(document.body, all);
}"""


@DESKTOP
def test_stop__after_a_tool_call_keeps_the_words_in_sight(open_tab, model):
    """Also while the server has the call alone, and that it was stopped."""
    tab = open_tab()
    tab.say("Please buy milk")
    asked = model.asked()
    asked.call("add_task", title="Buy milk")
    asked.end()
    asked = model.asked()
    asked.say("I have added")
    expect(tab.reply.locator(".text")).to_have_text("I have added")
    tab.page.evaluate(SEEN)

    is_stored = False

    def half_stored(route: Route) -> None:
        if is_stored:
            route.continue_()
            return
        got = route.fetch()
        data = got.json()
        data["messages"][-1] |= {"content": "", "stopped": True, "status": "under way"}
        route.fulfill(json=data, headers={"X-Chat-Degraded": "true"})

    tab.page.route("**/messages", half_stored)
    tab.message.press("Escape")
    expect(tab.reply.locator(".note")).to_have_text("Stopped.")
    # It is on the page, as that header is.
    expect(tab.page.get_by_text("does not answer right now")).to_be_visible()
    is_stored = True
    expect(tab.page.get_by_text("does not answer right now")).to_be_hidden()
    tab.replies("I have added")
    assert tab.page.evaluate("[...seen]") == ["I have added"]
    expect(tab.reply.locator("details")).to_have_count(1)
    asked.end()


# --- The message box ---


# Returns the milliseconds that it takes to put a text there at once, and to type after it.
# Playwright's way to fill takes as long as typing it does.
FILL = """async (length) => {
  const began = performance.now();
  const field = document.getElementById("message");
  field.focus();
  field.value = "x".repeat(length);
  field.dispatchEvent(new InputEvent("input", { bubbles: true }));
  for (const each of "abc") {
    field.setSelectionRange(field.value.length, field.value.length);
    document.execCommand("insertText", false, each);
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  }
  return performance.now() - began;
}"""


@DESKTOP
def test_message__far_too_long_is_said_at_once(open_tab, model):
    tab = open_tab()
    wrong = tab.page.locator("#too-long")
    tab.page.evaluate(FILL, 10_000)
    expect(wrong).to_be_hidden()
    took = tab.page.evaluate(FILL, 2_000_000)
    assert took < 5_000
    expect(wrong).to_have_text("The message has more than 20000 characters, and may have 10000.")
    tab.message.press("Enter")
    expect(wrong).to_be_visible()
    expect(tab.messages).to_have_count(0)
    tab.message.press("Control+a")
    tab.message.press("Delete")
    expect(wrong).to_be_hidden()
    tab.say("hello")
    answer(tab, model, "hello to you")


@DESKTOP
def test_message__runs_as_its_words_do(open_tab):
    tab = open_tab()
    for text, direction in (
        ("12: שלום", "rtl"),
        ("\U0001e900", "rtl"),
        ("hello שלום", "ltr"),
        ("", "ltr"),
    ):
        tab.message.fill(text)
        assert tab.message.evaluate("e => getComputedStyle(e).direction") == direction
    tab.message.fill("مرحبا")
    tab.page.reload()
    expect(tab.message).to_have_value("مرحبا")
    expect(tab.message).to_have_css("direction", "rtl")


@DESKTOP
def test_message__enter_that_ends_an_input_method_sends_nothing(open_tab):
    """Safari tells it by the code of the key alone."""
    tab = open_tab()
    tab.message.fill("にほん")
    tab.message.dispatch_event("keydown", {"key": "Enter", "keyCode": 229, "isComposing": False})
    assert tab.message.input_value() == "にほん"
    expect(tab.messages).to_have_count(0)
