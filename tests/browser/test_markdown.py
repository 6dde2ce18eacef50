"""Replies as elements: what the page's own scripts make of Markdown, in a real Chromium."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route

from tests.servers import ROOT

SCRIPTS = ROOT / "chat" / "static" / "chat" / "page"
MAKE = """async (text) => {
  const { markdown } = await import("/markdown.js");
  const made = document.createElement("div");
  made.append(markdown(text));
  for (const each of made.querySelectorAll("*")) {
    for (const name of ["dir", "tabindex", "rel", "target", "class"]) each.removeAttribute(name);
  }
  for (const each of made.querySelectorAll("ol[start='1']")) each.removeAttribute("start");
  return made.innerHTML;
}"""
TIME = """async (texts) => {
  const { markdown } = await import("/markdown.js");
  const began = performance.now();
  for (const text of texts) markdown(text);
  return performance.now() - began;
}"""


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """An empty page at whose address the scripts are; no server is asked."""
    page = browser.new_page()

    def answer(route: Route) -> None:
        script = SCRIPTS / Path(route.request.url).name
        if script.suffix == ".js":
            route.fulfill(path=script, content_type="text/javascript")
        else:
            route.fulfill(body="<!DOCTYPE html>", content_type="text/html")

    page.route("http://page.test/**", answer)
    page.goto("http://page.test/")
    yield page
    page.close()


def lines(*each: str) -> str:
    return "\n".join(each)


INSTALL = lines(
    "1. Install it:",
    "   ```bash",
    "   apt install foo",
    "",
    "     systemctl start foo",
    "   ```",
    "2. **Check** it",
)
INSTALLED = lines(
    "<ol><li>Install it:<pre><code>apt install foo",
    "",
    "  systemctl start foo</code></pre></li><li><strong>Check</strong> it</li></ol>",
)
TABLE = "<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody>{}</tbody></table>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Code in an item lasts to its end, empty lines and all.
        (INSTALL, INSTALLED),
        (INSTALL.replace("   ```bash\n   apt", "   ```\napt"), INSTALLED),
        (
            "- ```\n  a\n\n  b\n  ```\n- c",
            "<ul><li><pre><code>a\n\nb</code></pre></li><li>c</li></ul>",
        ),
        # So does an item.
        (
            "2. Second\n\n   - nested\n\n     - deeper\n3. Third",
            '<ol start="2"><li>Second<ul><li>nested<ul><li>deeper</li></ul></li></ul></li>'
            "<li>Third</li></ol>",
        ),
        ("1. First\n\n   detail\n\nafter", "<ol><li>First<p>detail</p></li></ol><p>after</p>"),
        ("1. First\n   more\n\n2. Second", "<ol><li>First<br>more</li><li>Second</li></ol>"),
        ("1. a\n- b\n2. c", '<ol><li>a</li></ol><ul><li>b</li></ul><ol start="2"><li>c</li></ol>'),
        ("- a\n\n---\n\nb", "<ul><li>a</li></ul><hr><p>b</p>"),
        ("- a\n\n- b\n\nc", "<ul><li>a</li><li>b</li></ul><p>c</p>"),
    ],
)
def test_lists(page, text, expected):
    assert page.evaluate(MAKE, text) == expected
