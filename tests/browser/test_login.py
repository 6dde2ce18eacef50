"""The way in."""

import pytest

pytestmark = pytest.mark.django_db(transaction=True)


def test_login__locked_out_says_for_how_long(open_page, context):
    context.clear_cookies()
    page = open_page("/admin/")
    for _ in range(5):
        page.fill("[name=username]", "root")
        page.fill("[name=password]", "wrong")
        page.click("[type=submit]")
        page.wait_for_load_state()
    assert "15 minutes" in page.inner_text("#content")
    assert page.get_attribute("text=Back to the log-in", "href") == "/admin/"


def test_login__leads_to_the_overview(open_page, context):
    context.clear_cookies()
    page = open_page("/admin/")
    page.fill("[name=username]", "root")
    page.fill("[name=password]", "x")
    page.click("[type=submit]")
    page.wait_for_url("**/admin/")
    assert page.inner_text("#content h1") == "Overview"
