"""The page of the API, under the policy of our pages."""

from playwright.sync_api import expect


def test_api_docs__shows_every_call_and_breaks_no_policy(open_page):
    page = open_page("/api/docs/")
    expect(page.get_by_text("Read a value", exact=True)).to_be_visible(timeout=30_000)
    page.get_by_text("Store a value").click()
    expect(page.get_by_text("precondition_failed").first).to_be_visible()
    assert page.locator(".opblock").count() == 30
    origins = page.evaluate(
        "performance.getEntriesByType('resource').map((loaded) => new URL(loaded.name).origin)"
    )
    assert set(origins) == {page.evaluate("location.origin")}
