"""A real Chromium on the pages of a live server, at a desktop's and a phone's width.

Screenshots go to the folder that SCREENSHOTS names, for people to look at; without it, nowhere.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect, sync_playwright

from tests.browser.chat_page import ChatTab, OpenTab
from tests.browser.chat_site import Site
from tests.browser.stalling_proxy import StallingProxy

# The first is Chromium without its windows: in it the tests take half as long.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}

OpenPage = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One browser, and so one process, a module."""
    for item in items:
        if "tests/browser/" in item.path.as_posix():
            item.add_marker(pytest.mark.xdist_group(item.path.name))
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="no Chromium on the PATH, nor in CHROMIUM"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the tests of a module. Its event loop must not outlive them."""
    with pytest.MonkeyPatch.context() as environ, sync_playwright() as playwright:
        environ.setenv(
            "DJANGO_ALLOW_ASYNC_UNSAFE", "1"
        )  # playwright's event loop is in this thread
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=list(WIDTHS))
def width(request: pytest.FixtureRequest) -> str:
    """A desktop's width, and a phone's."""
    return str(request.param)


@pytest.fixture
def superuser(transactional_db: None) -> User:
    """Who may do everything."""
    return User.objects.create_superuser("root", password="x")


@pytest.fixture
def context(browser: Browser, width: str, superuser: User, live_server) -> Iterator[BrowserContext]:
    """A browser that is logged in as the superuser."""
    across, down = WIDTHS[width]
    context = browser.new_context(viewport={"width": across, "height": down})
    client = Client()
    client.force_login(superuser)
    session = client.cookies["sessionid"].value
    context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
    yield context
    context.close()


@pytest.fixture
def open_page(context: BrowserContext, live_server, width: str, request) -> Iterator[OpenPage]:
    """Open a path, and return the page. Whatever goes wrong in the browser fails the test.

    A page must fit the width: only what scrolls by itself may be wider. A screenshot of the page
    as the test left it is taken.
    """
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(f"script error: {error}"))
    page.on("console", lambda m: problems.append(m.text) if _is_problem(m) else None)
    page.on("dialog", lambda dialog: problems.append(f"dialog: {dialog.message}"))

    def open_path(path: str, status: int = 200) -> Page:
        response = page.goto(live_server.url + path)
        assert response is not None
        assert response.status == status, page.inner_text("body")[:2000]
        return page

    yield open_path
    page.wait_for_load_state()  # a click that ended the test has only begun the next page
    take_screenshot(page, request.node.name)
    overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert overflow <= 0, f"the page is {overflow} px wider than the window"
    assert not problems


def take_screenshot(page: Page, name: str) -> None:
    """Save a screenshot of the whole page, if somebody wants to look at them."""
    if folder := os.environ.get("SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        name = "".join(c if c.isalnum() else "-" for c in name)
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def _is_problem(message) -> bool:
    """Errors of the console, but for the browser's own word on a status that a test expects."""
    return message.type == "error" and "Failed to load resource" not in message.text


# --- The chat page ---

numbers = count()


@pytest.fixture(scope="module")
def site(model, tmp_path_factory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("p"), model)
    yield site
    site.server.stop()
    site.stop_valkey()


@pytest.fixture
def user() -> str:
    """Of this test alone."""
    return f"user{next(numbers)}"


@pytest.fixture
def open_tab(browser: Browser, site, width, user, request) -> Iterator[OpenTab]:
    """Open a tab of one browser; it is logged in, but for `log_in=False`."""
    across, down = WIDTHS[width]
    context = browser.new_context(viewport={"width": across, "height": down})
    context.set_default_timeout(20_000)
    expect.set_options(timeout=20_000)
    tabs: list[ChatTab] = []

    def open_one(*, log_in: bool = True, url: str = site.server.url) -> ChatTab:
        if log_in and not tabs:
            where = {"domain": "127.0.0.1", "path": "/chat/session", "httpOnly": True}
            cookie = {"name": "chat_refresh", "value": site.sessions[user], **where}
            context.add_cookies([{**cookie, "sameSite": "Strict"}])
        tab = ChatTab(context, url, user)
        tabs.append(tab)
        if log_in:
            expect(tab.message).to_be_visible()
        return tab

    yield open_one
    for tab in tabs:
        name = re.sub(r"\W+", "-", request.node.name)
        tab.screenshot(os.environ.get("SCREENSHOTS"), f"chat-{name}-{tabs.index(tab)}")
        tab.check()
    context.close()


@pytest.fixture
def hurry(open_tab, browser) -> Callable[..., None]:
    """Lower a constant of the page's scripts: hurry("events", "SILENCE_SECONDS", 1)."""

    def hurry(script: str, constant: str, seconds: float) -> None:
        def answer(route: Route) -> None:
            old = route.fetch().text()
            new = re.sub(rf"\b{constant} = \d+;", f"{constant} = {seconds};", old)
            assert new != old
            route.fulfill(body=new, content_type="text/javascript")

        browser.contexts[-1].route(f"**/{script}.js", answer)

    return hurry


@pytest.fixture
def proxy(site) -> Iterator[StallingProxy]:
    proxy = StallingProxy(site.server.url)
    yield proxy
    proxy.close()
