"""The chat page as its user has it: a tab of a browser, and what the user does in it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Locator, Page, Request, expect

PASSWORD = "a password for tests"


class ChatTab:
    """A tab with the chat page. What goes wrong in the browser is collected in `problems`."""

    def __init__(self, context: BrowserContext, url: str, user: str) -> None:
        self.url, self.user = url, user
        self.problems: list[str] = []
        self.page: Page = context.new_page()
        self.page.on("pageerror", lambda error: self.problems.append(f"script error: {error}"))
        self.page.on("console", lambda m: self.problems.append(m.text) if _is_problem(m) else None)
        self.page.on("dialog", lambda dialog: self.problems.append(f"dialog: {dialog.message}"))
        self.page.on("request", self._note)
        self.page.goto(f"{url}/chat/")

    def _note(self, request: Request) -> None:
        if not request.url.startswith((f"{self.url}/", "blob:")):
            self.problems.append(f"a request to {request.url}")

    def log_in(self, password: str = PASSWORD) -> "ChatTab":
        self.page.get_by_label("User name").fill(self.user)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Log in").click()
        return self

    @property
    def message(self) -> Locator:
        """Where one writes."""
        return self.page.get_by_role("textbox", name="Message")

    def say(self, text: str) -> None:
        self.message.fill(text)
        self.message.press("Enter")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    @property
    def messages(self) -> Locator:
        return self.page.locator(".message")

    @property
    def reply(self) -> Locator:
        """The newest one."""
        return self.page.locator(".message.assistant").last

    def replies(self, text: str) -> None:
        """Wait for the whole reply."""
        expect(self.reply.locator(".text")).to_have_text(text)
        expect(self.button("Send")).to_be_visible()

    def titles(self) -> Locator:
        return self.page.locator("#conversations .title")

    def screenshot(self, folder: str | None, name: str) -> None:
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(folder) / f"{name}.png")

    def check(self) -> None:
        """The page fits, and nothing has gone wrong."""
        wide = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, f"the page is {wide} px wider than the window"
        assert not self.problems


OpenTab = Callable[..., ChatTab]


def _is_problem(message: Any) -> bool:
    return message.type == "error" and "Failed to load resource" not in message.text
