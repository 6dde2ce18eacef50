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
    for (const { name } of [...each.attributes]) if (name !== "start") each.removeAttribute(name);
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("See:\n| a | b |\n|---|---|", "<p>See:</p><div>" + TABLE.format("") + "</div>"),
        (
            "| a | b |\n|---|---|\n| 1 \\| 2 | `x\\|y` |",
            "<div>" + TABLE.format("<tr><td>1 | 2</td><td><code>x|y</code></td></tr>") + "</div>",
        ),
        ("a | b\n---\nc", "<p>a | b</p><hr><p>c</p>"),
        ("```one line```\nnext", "<p><code>one line</code><br>next</p>"),
        ("``a ` b`` and `` `c` ``", "<p><code>a ` b</code> and <code>`c`</code></p>"),
        ("````\n```js\nx\n```\n````\ny", "<pre><code>```js\nx\n```</code></pre><p>y</p>"),
        ("```\n```js\nx\n```\ny", "<pre><code>```js\nx</code></pre><p>y</p>"),
        ("_a_, __b__ (_c d_)", "<p><em>a</em>, <strong>b</strong> (<em>c d</em>)</p>"),
        ("_a snake_case b_", "<p><em>a snake_case b</em></p>"),
        ("a_b_c snake_case __x _ y__ é_a_", "<p>a_b_c snake_case <strong>x _ y</strong> é_a_</p>"),
        ("***both***", "<p><strong><em>both</em></strong></p>"),
        (
            "**a *b***, *a **b** c*",
            "<p><strong>a <em>b</em></strong>, <em>a <strong>b</strong> c</em></p>",
        ),
        ("*a **b***", "<p><em>a <strong>b</strong></em></p>"),
        ("2 * 3 * 4, *a *b", "<p>2 * 3 * 4, *a *b</p>"),
    ],
)
def test_words(page, text, expected):
    assert page.evaluate(MAKE, text) == expected


@pytest.mark.parametrize(
    ("label", "target", "host"),
    [
        ("https://bank.example/login?r=evil.example", "https://evil.example/x", "evil.example"),
        ("https://www.alpha.com", "https://a.co/x", "a.co"),
        ("my evil.example", "https://evil.example/", "evil.example"),
        ("https://bank.example@evil.example/", "https://evil.example/", "evil.example"),
        ("https://evil.example.bank.example", "https://evil.example/", "evil.example"),
        ("evil.example", "https://evil.example:8443/", "evil.example:8443"),
        ("https://a.example/b?c", "https://a.example/d", None),
        ("http://A.example", "https://a.example/", None),
        ("a.example", "https://a.example/b", None),
    ],
)
def test_link__shows_its_host(page, label, target, host):
    shown = page.evaluate(MAKE, f"[{label}]({target})")
    assert shown.endswith(f"</a><bdi> ({host})</bdi></p>" if host else "</a></p>")


def test_time__grows_with_the_text_alone(page):
    """A model can be made to say anything."""
    pieces = [
        "*",
        "_",
        "`",
        "**a ",
        "*a **b** ",
        " _a",
        "_a",
        "__a ",
        "`` ` ",
        "```` ",
        "[a](",
        "~~a",
    ]
    pieces += [
        "> ",
        "- ",
        "  - a\n",
        "1. ```\n",
        "```\n",
        "\n",
        "|",
        "a|\n-|\n",
        "- a\n\n",
        "***a ",
    ]
    took = {each: page.evaluate(TIME, [each * (20_000 // len(each))]) for each in pieces}
    assert {each: took[each] for each in pieces if took[each] > 3_000} == {}
