"""What axe-core finds on a page."""

from importlib.resources import files

from playwright.sync_api import Page


def axe_violations(page: Page, within: str = "html") -> list[str]:
    """Return the serious and critical findings within an element of the page as it is."""
    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text())
    result = page.evaluate("within => axe.run(within)", within)
    return [
        f"{each['id']}: {node['html']}"
        for each in result["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


def axe_violations_of_copy(page: Page, within: str = "#content") -> list[str]:
    """Return those of a page of admin, but for what stands around its content.

    axe-core sets styles, which the policy of admin's pages forbids: it runs on a copy without one.
    """
    copy = page.context.new_page()
    html = page.content()
    copy.route(page.url, lambda route: route.fulfill(body=html, content_type="text/html"))
    copy.goto(page.url)
    found = axe_violations(copy, within)
    copy.close()
    return found
