"""The start page of admin: who sees which panel, and what it says when stores are away."""

import re
import threading
import time
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from chat.models import ChatUser, Conversation, Quarantine, Turn
from connector_state.credentials.counters import failures
from connector_state.credentials.issuing import create_connector
from overview.figures import today
from overview.models import DailyFigures
from tests.connectors import SigningConnector
from tests.operators import create_staff, logged_in
from tests.outages import AWAY, frozen_port, move_conversations, move_redis

pytestmark = pytest.mark.django_db(transaction=True)

HEADINGS = ["Health", "Now", "Growth, last 14 days", "Authentication failures, last 7 days"]


@pytest.fixture
def superuser():
    return logged_in(User.objects.create_superuser("root", password="x"))


def get(client, path: str = "/admin/") -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


def headings(page: str) -> list[str]:
    return re.findall(r'<h2 id="overview-\w+">([^<]+)</h2>', page)


def tallies(page: str) -> dict[str, str]:
    found = re.findall(r"<dt>(.*?)</dt><dd>(?:<a [^>]*>)?(.*?)(?:</a>)?</dd>", page)
    return {label: text.replace("\xa0", " ") for label, text in found}


def health(page: str) -> dict[str, str]:
    items = re.findall(r'<li class="overview-(\w+)">\s*<strong>(.*?)</strong>', page)
    return {title: state for state, title in items}


def turn(number: int, state: str, conversation: str = "1", **fields) -> Turn:
    return Turn.objects.create(
        id=f"{number:032}",
        user_id="ada",
        conversation_id=conversation,
        id_is_integer=True,
        accepted_at=timezone.now(),
        message="hello",
        state=state,
        **fields,
    )


def test_start_page__a_fresh_one_says_what_to_do_next(superuser):
    page = get(superuser)
    assert headings(page) == HEADINGS
    assert "record_daily_figures" in page
    assert "None." in page
    assert health(page) == {
        "Redis": "warning",  # the tests' Valkey has no append-only file
        "Database": "ok",
        "Conversation store": "ok",
        "Model": "ok",
    }
    assert "the built-in assistant" in page
    assert re.search(r"Redis itself, Valkey \d+\.\d+", page)


def test_start_page__counts_what_there_is(superuser):
    connector = SigningConnector.create()
    assert connector.call("PUT", connector.path(), b"x" * 2048).status_code == 204
    create_connector("off", enabled=False, offline_at=timezone.now())
    ChatUser.objects.create(user_id="ada")
    row = {"user_id": "ada", "id_is_integer": True}
    Conversation.objects.create(conversation_id="1", message_count=1200, **row)
    Conversation.objects.create(conversation_id="2", active=False, deletion_pending=True, **row)
    turn(1, Turn.State.ANSWERED)
    turn(2, Turn.State.DEAD_LETTER)
    turn(3, Turn.State.STORED)
    turn(4, Turn.State.ACCEPTED, lease_until=timezone.now() + timedelta(hours=1))
    turn(5, Turn.State.ACCEPTED, lease_until=timezone.now() - timedelta(hours=1))
    key = {"user_id": "ada", "conversation_id": "1", "content_base64": "", "reason": "r"}
    Quarantine.objects.create(digest="a", **key)
    Quarantine.objects.create(digest="b", resolved_at=timezone.now(), **key)
    assert tallies(get(superuser)) == {
        "Connectors": "2",
        "Enabled": "1",
        "Disabled": "1",
        "Offline": "1",
        "Keys": "1",
        "Stored": "2.0 KB",
        "Conversations": "1",
        "Messages": "1,200",
        "Users": "1",
        "Waiting turns": "2",
        "Waiting deletions": "1",
        "Dead letters": "1",
        "In quarantine": "1",
    }


def test_start_page__its_counts_lead_to_their_lists(superuser):
    create_connector("one")
    links = set(re.findall(r'<dd><a href="([^"]+)"', get(superuser)))
    assert links
    for link in links:
        assert superuser.get(link, follow=True).status_code == 200, link


def test_start_page__waiting_turns_are_those_of_the_list_that_it_leads_to(superuser):
    for conversation in "123":
        Conversation.objects.create(user_id="ada", conversation_id=conversation, id_is_integer=True)
    hour = timedelta(hours=1)
    turn(1, Turn.State.ANSWERED)
    turn(2, Turn.State.FAILED)
    turn(3, Turn.State.ACCEPTED, lease_until=timezone.now() + hour)
    turn(4, Turn.State.ACCEPTED, "2", lease_until=timezone.now() - hour)
    turn(5, Turn.State.ACCEPTED, "3", lease_until=timezone.now() + hour)
    turn(6, Turn.State.STORED, "3")
    page = get(superuser)
    (link,) = re.findall(r"<dt>Waiting turns</dt><dd><a href=\"([^\"]+)", page)
    rows = superuser.get(link).context["cl"].result_list
    assert {row.conversation_id: row.pending for row in rows} == {"1": 2, "2": 1}
    assert tallies(page)["Waiting turns"] == "3"
    everything = superuser.get("/admin/chat/conversation/").context["cl"].result_list
    assert {row.conversation_id: row.pending for row in everything} == {"1": 2, "2": 1, "3": 0}


def test_start_page__growth_of_the_last_days_with_today_live(superuser):
    for back, keys in ((40, 7), (20, 100), (3, 1000), (1, None)):
        DailyFigures.objects.create(
            date=today() - timedelta(days=back),
            connectors=back,
            keys=keys,
            bytes=keys,
            conversations=0,
            messages=0,
            turns=0,
        )
    fortnight = get(superuser)
    assert len(re.findall('role="img"', fortnight)) == 6
    assert "Keys: between 0 and 1,000 in 14 days, now 0" in fortnight
    assert len(re.findall(r'<th scope="row">20', fortnight)) == 3
    month = get(superuser, "/admin/?days=30")
    assert "Growth, last 30 days" in month
    assert len(re.findall(r'<th scope="row">20', month)) == 4
    assert "Growth, last 14 days" in get(superuser, "/admin/?days=-1%27x")


def test_start_page__a_single_day_is_no_chart(superuser):
    page = get(superuser)
    assert "<svg" not in page.partition('id="overview-growth"')[2].partition("</section>")[0]
    assert page.count("One day so far.") == 6


def test_start_page__lists_what_it_is_about_first(superuser):
    apps = superuser.get("/admin/").context["app_list"]
    assert [app["name"] for app in apps] == [
        "Connector state",
        "Chat",
        "Authentication and Authorization",
        "Log-in attempts",
    ]
    assert "Log-in attempts" in get(superuser, "/admin/axes/")


def test_pages__have_an_icon(superuser):
    response = superuser.get("/favicon.ico")
    assert response.status_code == 302
    assert f'href="{response["Location"]}"' in get(superuser)
    icon = superuser.get(response["Location"])
    assert icon["Content-Type"] == "image/svg+xml"
    assert b"".join(icon).startswith(b"<svg")


@pytest.mark.parametrize(
    "path",
    [
        "auth/",
        "auth/user/",
        "auth/user/add/",
        "auth/user/PK/change/",
        "auth/user/PK/history/",
        "auth/user/PK/password/",
        "auth/user/PK/delete/",
        "axes/accessattempt/",
        "chat/conversation/",
        "chat/quarantine/",
        "chat/deadletter/",
        "connector_state/connector/",
        "password_change/",
    ],
)
def test_pages__lead_back_to_the_overview(superuser, path):
    page = get(superuser, f"/admin/{path.replace('PK', str(User.objects.get().pk))}")
    crumbs = page.partition('<div class="breadcrumbs">')[2].partition("</div>")[0]
    assert '<a href="/admin/">Overview</a>' in crumbs
    assert "Home" not in crumbs


FAILURES = {
    "replayed": 2,
    "bad_signature": 3,
    "chat:token_expired": 4,
    "login:bad_credentials": 5,
}


def refused(page: str) -> dict[str, list[str]]:
    """The reasons of each kind, and how often each was counted."""
    panel = page.partition('id="overview-failures"')[2].partition("</section>")[0]
    return {
        re.findall(r'scope="rowgroup"[^>]*>([^<]+)', group)[0]: re.findall(
            r"<code>(\w+)</code>.*?<td>(\d+)</td>", group
        )
        for group in re.findall(r"<tbody>(.*?)</tbody>", panel, re.DOTALL)
    }


def test_start_page__authentication_failures_by_kind_and_reason(superuser):
    failures._write(FAILURES)
    page = get(superuser)
    assert refused(page) == {
        "Connectors": [("bad_signature", "3"), ("replayed", "2")],
        "Chat": [("token_expired", "4")],
        "Log-ins to these pages": [("bad_credentials", "5")],
    }
    assert "the signature does not match" in page


@pytest.mark.parametrize(
    ("permission", "kind"),
    [
        ("connector_state.view_connector", "Connectors"),
        ("chat.view_conversation", "Chat"),
        ("auth.view_user", "Log-ins to these pages"),
    ],
)
def test_start_page__each_kind_of_failures_for_those_who_may_see_what_it_is_about(permission, kind):
    failures._write(FAILURES)
    assert list(refused(get(logged_in(create_staff(permission))))) == [kind]


@pytest.mark.parametrize(
    ("permission", "titles", "shown", "hidden"),
    [
        (
            "connector_state.view_connector",
            HEADINGS,
            {"Redis", "Database"},
            ["Conversations", "Messages", "Turns a day", "Dead letters"],
        ),
        ("auth.view_user", [HEADINGS[0], HEADINGS[3]], {"Database"}, ["Keys", "Conversations"]),
        (
            "chat.view_conversation",
            HEADINGS,
            {"Database", "Conversation store", "Model"},
            ["Keys", "Stored", "Valkey"],
        ),
    ],
)
def test_start_page__each_panel_for_those_who_may_see_its_pages(permission, titles, shown, hidden):
    page = get(logged_in(create_staff(permission)))
    assert headings(page) == titles
    assert set(health(page)) == shown
    for words in hidden:
        assert f">{words}" not in page


def test_start_page__nothing_for_staff_without_permission():
    page = get(logged_in(create_staff()))
    assert headings(page) == []
    assert tallies(page) == health(page) == {}


def test_start_page__with_everything_away_says_so(superuser, settings):
    move_redis(settings, AWAY)
    move_conversations(settings, AWAY)
    settings.OPENAI_BASE_URL = "http://user:secret-word@127.0.0.1:9/v1?secret-word"
    settings.OPENAI_API_KEY = "secret-word"
    create_connector("one")
    page = get(superuser)
    assert health(page) == {
        "Redis": "failed",
        "Database": "ok",
        "Conversation store": "failed",
        "Model": "failed",
    }
    assert tallies(page)["Keys"] == "not known"
    assert "Redis does not answer, so they are not known right now." in page
    assert "127.0.0.1:9 does not answer." in page
    assert "secret-word" not in page


def test_start_page__with_everything_frozen_is_there_in_time(superuser, settings):
    with frozen_port() as port:
        move_redis(settings, port)
        move_conversations(settings, port)
        settings.OPENAI_BASE_URL = f"http://127.0.0.1:{port}"
        began = time.monotonic()
        page = get(superuser)
        assert time.monotonic() - began < 6
    assert [title for title, state in health(page).items() if state == "failed"] == [
        "Redis",
        "Conversation store",
        "Model",
    ]


def test_start_page__many_visits_while_stores_are_frozen_hold_one_thread_each(superuser, settings):
    with frozen_port() as port:
        move_redis(settings, port)
        get(superuser)
        probing = threading.active_count()
        get(superuser)
        assert threading.active_count() <= probing
