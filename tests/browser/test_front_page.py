"""The page at /."""

import pytest

pytestmark = pytest.mark.django_db(transaction=True)


def test_front_page__leads_to_admin_and_names_no_account(open_page):
    page = open_page("/")
    assert page.get_by_role("heading", level=1).inner_text().startswith("Statekeep stores state")
    assert "root" not in page.inner_text("body")
    page.get_by_role("link", name="Admin pages").click()
    page.wait_for_url("**/admin/")
    page.go_back()
