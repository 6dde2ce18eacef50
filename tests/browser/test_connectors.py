"""The pages of connectors: normal, empty, huge, hostile, and with Redis away."""

import pytest
from django.utils import timezone
from django_redis import get_redis_connection

from connector_state.credentials.counters import call_counts, refusals
from connector_state.credentials.issuing import issue_credential
from connector_state.models import Connector, Credential, EnrolmentChange
from connector_state.store.keys import connector_keys
from tests.browser.axe import axe_violations_of_copy
from tests.browser.conftest import take_screenshot
from tests.connectors import SigningConnector

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/connector_state/connector/"
HOSTILE = "<script>alert(1)</script>\u202egnp.exe " + "W" * 200


@pytest.fixture
def connector(transactional_db) -> SigningConnector:
    """A connector that enrolled, and has stored something."""
    connector = SigningConnector.create(
        "m365 of contoso",
        enrolment_group="contoso",
        url="http://connector-m365.example:8080",
        peer_address="10.20.30.40",
        last_seen_at=timezone.now(),
        max_keys=20,
    )
    for namespace in ("m365", "onedrive", "sharepoint", "teams", "users"):
        for number in range(3):
            connector.put("a value " * 20, f"delta:{number}", ns=namespace)
    return connector


def hostile() -> SigningConnector:
    connector = SigningConnector.create(
        HOSTILE, enrolment_group="g" * 64, url="javascript:alert(1)//" + "u" * 2000
    )
    row = Connector.objects.get(pk=connector.uuid)
    row.allowed_namespaces = "\n".join(f"<b>{number}-{'n' * 100}" for number in range(20))
    row.save()
    for number in range(30):
        EnrolmentChange.objects.create(
            connector=row, field="url", before="http://" + "b" * 1500, after=f"{HOSTILE}{number}"
        )
    for _ in range(99):
        issue_credential(row)
    old = Credential.objects.filter(connector=row).order_by("pk").values_list("pk", flat=True)
    Credential.objects.filter(pk__in=list(old[50:90])).update(revoked_at=timezone.now())
    return connector


def page_of(connector, tail="change/"):
    return f"{LIST}{connector.uuid}/{tail}"


# --- The list -----------------------------------------------------------------------------------


def test_list(open_page, connector):
    SigningConnector.create("onedrive of fabrikam", read_only=True)
    SigningConnector.create("gmail", enabled=False)
    SigningConnector.create("a crawler", offline_at=timezone.now(), enrolment_group="")
    page = open_page(LIST)
    assert "m365, onedrive, sharepoint and 2 more" in page.inner_text("#result_list")
    page.click("text=m365 of contoso")
    page.wait_for_url(f"**{page_of(connector)}*")
    page.go_back()


def test_list__of_a_thousand_is_sorted_by_use(open_page, connector):
    Connector.objects.bulk_create(Connector(name=f"a {n:04}") for n in range(999))
    page = open_page(LIST)
    for column in ("Keys", "Size", "Last seen"):
        page.click(f"#result_list thead >> text={column}")
        page.wait_for_selector(f"th.sorted.ascending:has-text('{column}')")
        page.click(f"#result_list thead >> text={column}")
        page.wait_for_selector(f"th.sorted.descending:has-text('{column}')")
        assert "m365 of contoso" in page.inner_text("#result_list tbody tr:first-child")
    assert not axe_violations_of_copy(page, "#result_list")


@pytest.mark.parametrize("path", [LIST, "/admin/auth/user/"])
def test_list__between_a_phone_and_a_desktop_nothing_is_beyond_the_edge(open_page, connector, path):
    page = open_page(path)
    page.set_viewport_size({"width": 900, "height": 900})
    hidden = "e => e.scrollWidth - e.clientWidth"
    assert page.eval_on_selector("#changelist .results", hidden) <= 0


def test_list__empty(open_page):
    page = open_page(LIST)
    assert "There is no connector yet" in page.inner_text("#changelist")


def test_list__of_five_thousand(open_page, connector):
    Connector.objects.bulk_create(Connector(name=f"connector {n:04}") for n in range(4_998))
    hostile()
    page = open_page(LIST)
    assert "5000 connectors" in page.inner_text(".paginator")
    assert page.locator("#result_list tbody tr").count() == 50
    page.fill("#searchbar", connector.uuid)
    page.click("#changelist-search [type=submit]")
    page.wait_for_url("**q=*")
    assert page.locator("#result_list tbody tr").count() == 1


def test_list__hostile(open_page):
    connector = hostile()
    connector.put("v", ns="<script>alert(2)</script>".replace("/", "") + "n" * 90)
    page = open_page(LIST)
    assert "<script>alert(1)" in page.inner_text("#result_list")


def test_list__without_redis(open_page, connector, redis_away):
    page = open_page(LIST)
    assert "Redis does not answer" in page.inner_text("#content")
    assert "unknown" in page.inner_text("#result_list")


# --- A connector's page -------------------------------------------------------------------------


def test_connector(open_page, connector):
    row = Connector.objects.get()
    EnrolmentChange.objects.create(connector=row, field="url", before="http://a", after="http://b")
    page = open_page(page_of(connector))
    assert "15 of 20" in page.inner_text("#content")
    page.check("[name=read_only]")
    page.fill("[name=allowed_namespaces]", "m365\nonedrive-*")
    page.fill("[name=max_keys]", "")
    page.click("text=Save")
    page.wait_for_selector(".messagelist .success")
    row.refresh_from_db()
    assert (row.read_only, row.allowed_namespaces, row.max_keys) == (True, "m365\nonedrive-*", None)


def test_connector__that_is_busy(open_page, connector, width):
    """Everything that its page can say of calls, and the pages of its credentials."""
    bad = connector_keys(connector.uuid).value_prefix + "m365:delta:of-contoso"
    get_redis_connection().set(bad, b"\xff")
    connector.get("delta:of-contoso")
    connector.put("v", query="?if_match=" + "0" * 40)
    connector.put("v", key="k" * 600)
    Connector.objects.update(max_requests_per_second=1)
    connector.send("GET", connector.path(), b"", connector.authorization("GET", "/elsewhere"))
    issue_credential(Connector.objects.get())
    call_counts.flush()
    refusals._tally.flush()
    pk = Credential.objects.last().pk
    for tail in (f"credentials/{pk}/revoke/", "credentials/rotate/", "audit/", "change/"):
        page = open_page(page_of(connector, tail))
        assert not axe_violations_of_copy(page), tail
        take_screenshot(page, f"busy {tail} {width}")
    assert "has not been used yet" in page.inner_text("#content")
    page.click("text=m365 / delta:of-contoso")
    page.wait_for_url("**/keys/key/**")
    page.go_back()


def test_connector__every_input_has_a_label(open_page, connector):
    page = open_page(page_of(connector))
    inputs = page.locator("#content form :is(input, textarea, select):visible:not([type=submit])")
    for index in range(inputs.count()):
        assert inputs.nth(index).evaluate("element => element.labels.length") == 1


def test_connector__bad_policy(open_page, connector):
    page = open_page(page_of(connector))
    page.fill("[name=allowed_namespaces]", "two words")
    page.fill("[name=max_bytes]", "-1")
    page.click("text=Save")
    page.wait_for_selector(".errornote")
    page.wait_for_load_state()
    assert "no space" in page.inner_text(".field-allowed_namespaces")


def test_connector__that_has_done_nothing(open_page):
    connector = SigningConnector.create("new")
    Credential.objects.all().delete()
    page = open_page(page_of(connector))
    assert "0 of 250,000 (default)" in page.inner_text("#content")
    assert "Issue one" in page.inner_text("#content")


def test_connector__hostile_with_a_hundred_credentials(open_page):
    page = open_page(page_of(hostile()))
    assert "All 100 credentials" in page.inner_text("#content")
    assert "<script>alert(1)" in page.inner_text("#content h1")


def test_connector__all_of_a_hundred_credentials(open_page):
    page = open_page(page_of(hostile(), "credentials/"))
    assert page.locator("#content tbody tr").count() == 100


def test_connector__without_redis(open_page, connector, redis_away):
    page = open_page(page_of(connector))
    assert "Redis does not answer" in page.inner_text("#content")


def test_connector__in_the_dark(open_page, connector, context):
    page = open_page(page_of(connector))
    page.emulate_media(color_scheme="dark")
    page.reload()


def test_disable__at_once_and_enable_again(open_page, connector):
    page = open_page(page_of(connector))
    page.click("text=Disable at once")
    page.wait_for_url("**/disable/")
    assert "within 2 s" in page.inner_text("#content")
    page.click("button:text('Disable at once')")
    page.wait_for_selector(".messagelist .success")
    assert not Connector.objects.get().enabled
    page.click("[value='Enable again']")
    page.wait_for_selector("text=let in within 2 s")
    assert Connector.objects.get().enabled


def test_disable__confirmation(open_page, connector):
    open_page(page_of(hostile(), "disable/"))


def test_disable__is_shown(open_page, connector):
    Connector.objects.update(enabled=False)
    assert "disabled" in open_page(page_of(connector)).inner_text("#content")


# --- Credentials --------------------------------------------------------------------------------


def test_issue__shows_the_secret_once(open_page, connector):
    page = open_page(page_of(connector))
    page.click("text=Issue a credential")
    page.wait_for_url("**/issue/")
    page.fill("[name=expires_in_days]", "90")
    page.click("[type=submit].default")
    page.wait_for_load_state()
    secret = page.inner_text("#secret")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the secret").press("Enter")
    page.get_by_role("status").filter(has_text="Copied the secret.").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == secret
    assert not axe_violations_of_copy(page)
    key_id = Credential.objects.first().key_id
    assert SigningConnector(connector.uuid, key_id, secret).get().status_code == 200
    page.click("#content summary")


def test_issue__sent_again_says_what_to_do(open_page, connector):
    page = open_page(page_of(connector, "credentials/issue/"))
    page.click("[type=submit].default")
    page.wait_for_load_state()
    secret = page.inner_text("#secret")
    page.reload()
    assert "Was that you" in page.inner_text("#content")
    assert secret not in page.content()
    assert Credential.objects.count() == 2


def test_issue__form(open_page, connector):
    Connector.objects.update(enabled=False)
    page = open_page(page_of(connector, "credentials/issue/"))
    page.fill("[name=expires_in_days]", "0")
    page.click("[type=submit].default")
    page.wait_for_selector(".errornote")


def test_rotate(open_page, connector):
    page = open_page(page_of(connector))
    page.click("text=Rotate")
    page.wait_for_url("**/rotate/")
    assert page.input_value("[name=overlap_hours]") == "24"


def test_revoke__the_last_live_one(open_page, connector):
    page = open_page(page_of(connector))
    page.click("#content tbody >> text=Revoke")
    page.wait_for_url("**/revoke/")
    assert "last live credential" in page.inner_text("#content")


def test_revoke__ends_it(open_page, connector):
    pk = Credential.objects.get().pk
    page = open_page(page_of(connector, f"credentials/{pk}/revoke/"))
    page.click("button:text('Revoke it')")
    page.wait_for_selector("text=Nothing was revoked")
    page.check("[name=even_so]")
    page.click("button:text('Revoke it')")
    page.wait_for_selector(".messagelist .success")
    assert Credential.objects.live().count() == 0


# --- Adding -------------------------------------------------------------------------------------


def test_add(open_page):
    page = open_page(LIST)
    page.click("text=Add one")
    page.wait_for_url("**/add/")
    page.fill("[name=name]", "m365 of contoso")
    page.click("[type=submit].default")
    page.wait_for_load_state()
    assert page.inner_text("#secret")
    page.click("text=I have kept it")
    page.wait_for_url("**/change/")


def test_add__of_a_namesake_in_the_dark(open_page):
    SigningConnector.create("m365 of contoso")
    page = open_page(f"{LIST}add/")
    page.emulate_media(color_scheme="dark")
    page.fill("[name=name]", "m365 of contoso")
    page.click("[type=submit].default")
    page.wait_for_selector("#secret")
    page.wait_for_load_state()
    assert "has this name already" in page.inner_text(".messagelist .warning")


def test_add__bad_input(open_page):
    page = open_page(f"{LIST}add/")
    page.fill("[name=uuid]", "no uuid")
    page.click("[type=submit].default")
    page.wait_for_selector(".errornote")


def test_add__sent_again(open_page):
    page = open_page(f"{LIST}add/")
    page.fill("[name=name]", "W" * 255)
    page.click("[type=submit].default")
    page.wait_for_selector("#secret")
    page.reload()
    assert "already" in page.inner_text(".errornote")
    assert Connector.objects.count() == 1


# --- Audit and history --------------------------------------------------------------------------


def test_audit(open_page, connector):
    connector.delete("delta:1")
    page = open_page(page_of(connector, "audit/"))
    page.select_option("#operation", "delete")
    page.click("text=Filter")
    page.wait_for_url("**operation=delete*")
    assert page.locator("#content tbody tr").count() == 1
    page.go_back()


def test_audit__empty(open_page):
    page = open_page(page_of(SigningConnector.create(), "audit/"))
    assert "There is no entry" in page.inner_text("#content")


def test_audit__hostile_and_long(open_page):
    connector = hostile()
    Connector.objects.update(allowed_namespaces="")
    for number in range(120):
        connector.put("v", f"{number}<script>alert(1)</script>\u202e" + "k" * 400)
    page = open_page(page_of(connector, "audit/"))
    assert page.locator("#content tbody tr").count() == 100
    page.click("text=Older")
    page.wait_for_url("**before=*")
    assert page.locator("#content tbody tr").count() == 20


def test_audit__without_redis(open_page, connector, redis_away):
    page = open_page(page_of(connector, "audit/"), status=503)
    assert "Redis does not answer" in page.inner_text("#content")


def test_history(open_page):
    connector = hostile()
    page = open_page(page_of(connector, "disable/"))
    page.click("button:text('Disable at once')")
    page.wait_for_selector(".messagelist .success")
    page.click("text=History")
    page.wait_for_url("**/history/")
    assert "Disabled." in page.inner_text("#content")


def test_credentials__can_be_revoked_without_scrolling_sideways(open_page, connector):
    page = open_page(page_of(connector))
    across = page.evaluate("window.innerWidth")
    box = page.locator("#content tbody >> text=Revoke").bounding_box()
    assert box["x"] + box["width"] <= across


def test_list__every_column_is_on_the_page(open_page, connector):
    page = open_page(LIST)
    across = page.evaluate("window.innerWidth")
    for field in ("size", "last_seen", "live_credentials"):
        box = page.locator(f"#result_list .field-{field}").first.bounding_box()
        assert box["x"] + box["width"] <= across
