"""The start page, and the pages of errors."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from chat.models import ChatUser, Conversation, Quarantine, Turn
from chat.repository import forget_repositories
from common.events import outages
from common.events.models import Event, record
from connector_state.credentials.counters import failures
from connector_state.models import Connector
from overview import counts
from overview.figures import today
from overview.health.bounded import Question
from overview.models import DailyFigures
from overview.panels import page as panels
from tests.connectors import SigningConnector
from tests.operators import create_staff
from tests.outages import AWAY, frozen_port, move_conversations, move_redis

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _fresh_repositories():
    forget_repositories()
    yield
    forget_repositories()


def grow(days: int, scale: int = 1) -> None:
    """Figures of the last days, up and down; one day was not recorded, one without Redis."""
    for back in range(1, days):
        size = (days - back) ** 2 + 7 * (back % 3)
        if back != 5:
            DailyFigures.objects.create(
                date=today() - timedelta(days=back),
                connectors=3 + size // 90,
                keys=None if back == 9 else size * 40 * scale,
                bytes=None if back == 9 else size * 90_000 * scale,
                conversations=size,
                messages=size * 12 * scale,
                turns=size % 41 * scale,
            )


def something_of_all() -> None:
    """What a service in use has."""
    connector = SigningConnector.create("m365 of contoso")
    for number in range(3):
        assert (
            connector.call("PUT", connector.path(key=f"k{number}"), b"x" * 3000).status_code == 204
        )
    Connector.objects.create(name="switched off", enabled=False)
    Connector.objects.create(name="shut down", offline_at=timezone.now())
    ChatUser.objects.create(user_id="ada")
    for number in range(5):
        Conversation.objects.create(
            user_id="ada", conversation_id=str(number), id_is_integer=True, message_count=12
        )
    for number, state in enumerate(Turn.State):
        Turn.objects.create(
            id=str(number),
            user_id="ada",
            conversation_id="1",
            id_is_integer=True,
            accepted_at=timezone.now(),
            message="hello",
            state=state,
        )
    Quarantine.objects.create(
        user_id="ada", conversation_id="2", digest="d", content_base64="", reason="cut off"
    )
    failures._write({"bad_signature": 1234, "replayed": 2, "unknown_key_id": 77})
    failures._write({"chat:token_expired": 12, "login:bad_credentials": 5, "login:locked_out": 1})


def log_in(user, context, live_server) -> None:
    client = Client()
    client.force_login(user)
    context.clear_cookies()
    session = client.cookies["sessionid"].value
    context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])


def shown_tallies(page) -> dict[str, str]:
    rows = page.locator(".overview-tallies > div").all()
    return {row.locator("dt").inner_text(): row.locator("dd").first.inner_text() for row in rows}


def shown_health(page) -> dict[str, str]:
    rows = page.locator(".overview-health > li").all()
    return {
        row.locator("strong").inner_text(): row.locator(".overview-state").inner_text()
        for row in rows
    }


def test_overview__of_a_service_in_use(open_page):
    something_of_all()
    grow(14)
    page = open_page("/admin/")
    assert shown_tallies(page)["Dead letters"] == "1"
    assert page.locator(".overview-charts svg").count() == 6
    page.click("text=As a table")
    assert page.locator("details table tbody tr").count() == 13
    assert "1,234" in page.inner_text("section:has(#overview-failures)")


def test_overview__of_thirty_days(open_page):
    something_of_all()
    grow(30)
    page = open_page("/admin/")
    page.click("text=30 days")
    page.wait_for_url("**?days=30")
    assert "Growth, last 30 days" in page.inner_text("#content")


def test_overview__in_the_dark(open_page, context):
    something_of_all()
    grow(14)
    page = open_page("/admin/")
    page.emulate_media(color_scheme="dark")
    assert page.locator(".overview-charts svg").count() == 6


def test_overview__of_a_fresh_install(open_page):
    page = open_page("/admin/")
    assert set(shown_tallies(page).values()) == {"0", "0\xa0bytes"}
    assert "record_daily_figures" in page.inner_text("#content")


def test_overview__of_huge_numbers(open_page, monkeypatch):
    grow(14, 10**9)
    something_of_all()
    monkeypatch.setattr(panels, "_usage", Question(lambda: (10**15, 2**60)))
    found = counts.ConversationCounts(123_456_789, 9_876_543_210_123)
    monkeypatch.setattr(panels, "count_conversations", lambda: found)
    failures._write({"bad_signature": 10**15, "malformed_header": 10**12})
    page = open_page("/admin/")
    assert shown_tallies(page)["Keys"] == "1,000,000,000,000,000"


def test_overview__as_a_viewer(open_page, context, live_server):
    something_of_all()
    grow(14)
    log_in(create_staff(group="viewer"), context, live_server)
    page = open_page("/admin/")
    assert len(shown_health(page)) == 4
    assert page.locator("text=Axes").count() == 0


def test_overview__as_who_may_see_conversations_alone(open_page, context, live_server):
    something_of_all()
    log_in(create_staff("chat.view_conversation"), context, live_server)
    page = open_page("/admin/")
    assert set(shown_health(page)) == {"Database", "Conversation store", "Model"}
    assert "Keys" not in shown_tallies(page)


def test_overview__without_redis(open_page, settings):
    something_of_all()
    grow(14)
    move_redis(settings, AWAY)
    page = open_page("/admin/")
    assert shown_health(page)["Redis"] == "can't be used"
    assert shown_tallies(page)["Keys"] == "not known"


def test_overview__without_the_conversation_store(open_page, settings):
    something_of_all()
    grow(14)
    move_conversations(settings, AWAY)
    page = open_page("/admin/")
    assert shown_health(page)["Conversation store"] == "can't be used"
    assert shown_health(page)["Redis"] != "can't be used"


def test_overview__with_everything_frozen(open_page, settings):
    something_of_all()
    with frozen_port() as port:
        move_redis(settings, port)
        move_conversations(settings, port)
        settings.OPENAI_BASE_URL = f"http://127.0.0.1:{port}/v1"
        page = open_page("/admin/")
    failed = [title for title, state in shown_health(page).items() if state == "can't be used"]
    assert failed == ["Redis", "Conversation store", "Model"]


@pytest.mark.parametrize(
    ("path", "status", "heading"),
    [
        ("/nowhere", 404, "There is no such page"),
        ("/admin/connector_state/connector/", 403, "You may not do this"),
    ],
)
def test_error__says_what_to_do(open_page, context, live_server, path, status, heading):
    log_in(create_staff(), context, live_server)
    page = open_page(path, status)
    assert page.inner_text("h1") == heading
    assert page.get_attribute("text=Back to the overview", "href") == "/admin/"


def test_happened__from_the_start_page_to_a_connector(open_page):
    connector = SigningConnector.create("mailbox-" + "long-" * 30)
    about = {"connector_uuid": connector.uuid}
    words = "Issued credential " + "k" * 16 + "; the others end in 86400 s."
    record(Event.Kind.CREDENTIAL, Event.Area.STATE, words, "ines (manage.py)", **about)
    refused = "Refused calls: timestamp_out_of_window."
    record(Event.Kind.REFUSAL, Event.Area.STATE, refused, number=1200, **about)
    outages.noticed("Conversation store", timezone.now() - timedelta(minutes=20))
    Event.objects.filter(kind=Event.Kind.OUTAGE).update(number=12, ended_at=timezone.now())
    purged = "12 conversations purged, 0 kept, 0 failed."
    record(Event.Kind.PURGE, Event.Area.CHAT, purged, "cron (manage.py)")
    page = open_page("/admin/")
    page.get_by_role("link", name="What happened").click()
    page.wait_for_url("**/happened/")
    assert "12 turns waited" in page.inner_text("#content")
    page.get_by_label("Kind").select_option("Refused calls")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**/happened/?kind=refusal*")
    assert "1200 in this hour" in page.inner_text("#content")
    assert purged not in page.inner_text("#content")
    assert connector.uuid in page.locator(".statekeep-rows a").get_attribute("href")
    page.get_by_role("link", name="Clear").click()
    page.wait_for_url("**/happened/?")
    assert purged in page.inner_text("#content")
