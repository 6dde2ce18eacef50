"""axe-core on every page of ours in admin: light at a desktop's width, dark at a phone's."""

from collections.abc import Iterator
from importlib.resources import files

import pytest
from playwright.sync_api import Page as Tab

from chat.repository import forget_repositories
from tests.admin_pages import World, pages
from tests.browser.conftest import WIDTHS
from tests.browser.test_outages import load

pytestmark = pytest.mark.django_db(transaction=True)

SCHEMES = {"desktop": "light", "phone": "dark"}
SERIOUS = ("serious", "critical")
# Admin's links change their colour slowly, and would be met in between.
AT_ONCE = """
const sheet = new CSSStyleSheet();
sheet.replaceSync("* { transition: none !important }");
document.adoptedStyleSheets = [sheet];
"""


@pytest.fixture(autouse=True)
def _fresh_repositories() -> Iterator[None]:
    forget_repositories()
    yield
    forget_repositories()


@pytest.mark.parametrize("width", ["desktop"], indirect=True)
def test_every_page__has_nothing_serious(context, live_server):
    world = World.create()
    context.add_init_script(files("axe_playwright_python").joinpath("axe.min.js").read_text())
    tab = context.new_page()
    urls = ["/admin/", *(world.named_url(page) for page in pages())]
    found, seen = {}, set()
    for url in urls:
        if load(tab, live_server.url + url) is None:  # a file, or a page for POST alone
            tab = context.new_page()
            continue
        if tab.url in seen:  # where a page for POST alone leads
            continue
        seen.add(tab.url)
        tab.evaluate(AT_ONCE)
        for width, (across, down) in WIDTHS.items():
            tab.set_viewport_size({"width": across, "height": down})
            tab.emulate_media(color_scheme=SCHEMES[width])
            found |= dict.fromkeys(violations(tab), f"{width} {url}")
    assert not found
    assert len(seen) > 30


def violations(tab: Tab) -> list[str]:
    """What axe-core finds on the page as it is."""
    result = tab.evaluate("axe.run({resultTypes: ['violations']})")
    return [
        f"{each['id']}: {node['html']}"
        for each in result["violations"]
        if each["impact"] in SERIOUS
        for node in each["nodes"]
    ]
