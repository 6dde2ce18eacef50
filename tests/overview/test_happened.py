"""What happened: what becomes an event, who sees it, how long it stays."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.utils import timezone
from django_redis import get_redis_connection

from chat.errors import StoreUnavailable
from chat.models import Conversation
from chat.repository import conversation_repository, forget_repositories
from chat.turns.flush import flush_all
from common.events import outages
from common.events.models import Event, prune, record
from connector_state.credentials.counters import refusals
from connector_state.models import Connector
from overview.health.outages import note_outages
from overview.health.probes import Health
from tests.chat.drive import ALICE, ask, away, flushed, hooked, put_raw
from tests.connectors import SigningConnector
from tests.operators import create_staff, logged_in
from tests.outages import AWAY, move_conversations

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/admin/overview/happened/"


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def told(*kinds: Event.Kind) -> list[tuple[str, str]]:
    """Who did what, oldest first."""
    events = Event.objects.filter(kind__in=kinds) if kinds else Event.objects.all()
    return [(event.actor, event.message) for event in events.order_by("id")]


def page(client, **query: str) -> str:
    answer = client.get(PAGE, query)
    assert answer.status_code == 200
    return answer.content.decode()


def health(name: str, title: str, state: str) -> Health:
    return Health(name, title, state, "", (), 0)


# --- What becomes an event ---


def test_changes__in_admin_have_who_did_them(admin_client, admin_user):
    connector = SigningConnector.create()
    url = f"/admin/connector_state/connector/{connector.uuid}/"
    admin_client.post(f"{url}disable/", follow=True)
    event = Event.objects.get(kind="change")
    assert (event.actor, str(event.connector_uuid)) == (admin_user.username, connector.uuid)
    admin_client.post("/admin/auth/group/add/", {"name": "night shift"})
    assert told(Event.Kind.CHANGE)[-1] == (admin_user.username, "group “night shift”: Added.")


def test_changes__several_rows_at_once(admin_client, admin_user):
    groups = [Group.objects.create(name=name) for name in ("night shift", "day shift")]
    chosen = {"action": "delete_selected", "_selected_action": [group.pk for group in groups]}
    admin_client.post("/admin/auth/group/", chosen)
    assert told() == []
    admin_client.post("/admin/auth/group/", {**chosen, "post": "yes"})
    assert not Group.objects.exists()
    assert told() == [(admin_user.username, "groups deleted: day shift, night shift.")]


def test_changes__by_commands_have_the_operator(monkeypatch):
    monkeypatch.setenv("LOGNAME", "ines")
    run("create_connector", "mailbox")
    connector = Connector.objects.get()
    run("rotate_credential", "mailbox")
    run("revoke_credential", connector.credentials.latest("pk").key_id)
    run("set_policy", "mailbox", "--read-only")
    who, words = zip(*told(), strict=True)
    assert set(who) == {"ines (manage.py)"}
    assert [text.split()[0] for text in words] == ["Created", "Issued", "Revoked", "Set"]
    assert set(Event.objects.values_list("connector_uuid", flat=True)) == {connector.pk}


def test_refusals__by_connector_hour_and_reason():
    connector, other = SigningConnector.create(), SigningConnector.create()
    for _ in range(3):
        assert connector.call("GET", other.path("m365", "k")).status_code == 403
    stranger = SigningConnector(connector.uuid, connector.key_id, "c2VjcmV0")
    assert stranger.call("GET", connector.path("m365", "k")).status_code == 401
    refusals.count("unknown_key_id", "0e9b2f0c-0000-4000-8000-000000000000")
    refusals._tally.flush()
    for _ in range(2):  # the second time it is brought up to date
        run("record_daily_figures")
    found = Event.objects.values_list("connector_uuid", "message", "number")
    assert {(str(uuid), words): number for uuid, words, number in found} == {
        (connector.uuid, "Refused calls: other_connector."): 3,
        (connector.uuid, "Refused calls: bad_signature."): 1,
        ("None", "Refused calls: unknown_key_id."): 1,
    }


def test_refusals__are_bounded(monkeypatch):
    monkeypatch.setattr(refusals, "FIELDS_MAX", 2)
    for number in range(5):
        refusals.count("unknown_key_id", f"0e9b2f0c-0000-4000-8000-00000000000{number}")
        refusals._tally.flush()
    assert get_redis_connection().hlen(refusals._key(datetime.now(UTC))) == 3
    monkeypatch.setattr(refusals, "PENDING_MAX", 2)
    for number in range(9):
        refusals.count("unknown_key_id", f"{number}")
    assert len(refusals._tally) == 3
    refusals._tally.flush()


def test_outage__of_the_conversation_store_counts_the_turns(settings):
    ask("hello")
    move_conversations(settings, AWAY)
    ask("one")
    ask("two", "c2")
    outage = Event.objects.get(kind="outage")
    assert (outage.ended_at, outage.number) == (None, 2)
    assert "It goes on. 2 turns waited." in page(logged_in(create_staff("chat.view_conversation")))
    settings.CHAT_STATE_STORE = "redis"
    forget_repositories()
    run("flush_pending_turns")
    outage.refresh_from_db()
    assert outage.ended_at is not None


def test_outage__ends_with_the_first_answer(monkeypatch, settings):
    settings.CHAT_STORE_PAUSE_SECONDS = 0
    breaker = conversation_repository().breaker
    for _ in range(4):
        with pytest.raises(StoreUnavailable):
            breaker.call(away)
    assert Event.objects.get().ended_at is None
    ask("hello")
    assert Event.objects.get().ended_at is not None


def test_outage__goes_on_after_a_short_answer():
    for _ in range(3):
        outages.noticed("Redis")
        outages.over("Redis")
    assert Event.objects.count() == 1
    Event.objects.update(ended_at=timezone.now() - timedelta(minutes=5))
    outages.noticed("Redis")
    assert Event.objects.count() == 2


def test_outage__of_the_database_is_told_afterwards():
    down = [health("database", "Database", "failed"), health("redis", "Redis", "ok")]
    note_outages(down)
    since = timezone.now()
    note_outages(down)
    note_outages(
        [
            health("database", "Database", "ok"),
            health("redis", "Redis", "ok"),
            health("model", "Model", "failed"),
        ]
    )
    database, model = Event.objects.order_by("at")
    assert database.message == "Database: no answer."
    assert database.at <= since <= database.ended_at
    assert (model.message, model.ended_at) == ("Model: no answer.", None)


def test_quarantine_and_purge(monkeypatch):
    monkeypatch.setenv("LOGNAME", "ines")
    put_raw(b"corrupt")
    ask("hello")
    assert told(Event.Kind.QUARANTINE)[0][1].startswith("What is stored can't be read: ")
    ask("hello", "c2")
    get_redis_connection().delete("chat:alice:c2")
    Conversation.objects.filter(conversation_id="c2").update(expires_at=timezone.now())
    run("purge_expired_conversations")
    assert told(Event.Kind.PURGE) == [
        ("ines (manage.py)", "1 conversation purged, 0 kept, 0 failed.")
    ]


# --- How long it stays ---


def test_prune__by_age_but_not_what_was_degraded(settings, monkeypatch):
    with hooked(monkeypatch) as repository:
        repository.before["get"] = [away]
        ask("hello")
    flushed()
    record(Event.Kind.CHANGE, Event.Area.STATE, "Old.")
    long_ago = timezone.now() - timedelta(days=settings.EVENTS_KEEP_DAYS, seconds=1)
    Event.objects.update(at=long_ago, ended_at=long_ago)
    record(Event.Kind.CHANGE, Event.Area.STATE, "New.")
    run("purge_expired_conversations")
    assert "Old." not in {words for _, words in told()}
    assert told(Event.Kind.CHANGE) == [("", "New.")]
    assert [kind for (kind,) in Event.objects.filter(user_id=ALICE).values_list("kind")] == [
        "degraded"
    ]
    assert prune() == 0
    run("forget_user", ALICE)
    assert not Event.objects.filter(kind="degraded").exists()


# --- The page ---


def test_page__shows_what_a_reader_may_see():
    record(Event.Kind.CHANGE, Event.Area.STATE, "Of a connector.")
    record(Event.Kind.QUARANTINE, Event.Area.CHAT, "Of a chat.", user_id=ALICE)
    record(Event.Kind.READ, Event.Area.CHAT, "Somebody looked.", user_id=ALICE)
    record(Event.Kind.CHANGE, Event.Area.ACCOUNTS, "Of an account.")
    record(Event.Kind.OUTAGE, Event.Area.SERVICE, "Of a store.")
    seen = {
        ("connector_state.view_connector",): ["Of a connector."],
        ("chat.view_conversation",): ["Of a chat."],
        ("chat.view_conversation", "auth.view_user"): ["Of a chat.", "Of an account."],
    }
    for number, (permissions, words) in enumerate(seen.items()):
        text = page(logged_in(create_staff(*permissions, name=f"staff{number}")))
        every = ("Of a connector.", "Of a chat.", "Of an account.")
        assert [other for other in every if other in text] == words
        assert "Of a store." in text
        assert "Somebody looked." not in text  # an operator who searches looks at many
    for permissions in ((), ("auth.view_user",)):
        nobody = create_staff(*permissions, name=f"nobody{len(permissions)}")
        assert logged_in(nobody).get(PAGE).status_code == 403


def test_page__filters(admin_client):
    connector = SigningConnector.create()
    record(Event.Kind.CHANGE, Event.Area.STATE, "First.", connector_uuid=connector.uuid)
    record(Event.Kind.PURGE, Event.Area.CHAT, "Second.", user_id=ALICE)
    record(Event.Kind.DEGRADED, Event.Area.CHAT, "Third.", user_id=ALICE, conversation_id="c1")
    Event.objects.filter(message="First.").update(at=datetime(2026, 1, 31, 23, 59, tzinfo=UTC))

    def shown(**query: str) -> list[str]:
        text = page(admin_client, **query)
        return [words for words in ("First.", "Second.", "Third.") if words in text]

    assert shown() == ["First.", "Second."]
    assert shown(kind="degraded") == ["Third."]
    assert shown(user=ALICE) == ["Second.", "Third."]
    assert shown(connector=connector.uuid) == ["First."]
    assert shown(connector=Connector.objects.get().name) == ["First."]
    assert shown(**{"from": "2026-01-31", "to": "2026-01-31"}) == ["First."]
    assert shown(**{"from": "2026-02-01"}) == ["Second."]
    assert shown(**{"from": "yesterday"}) == []
    assert f"/connector/{connector.uuid}/change/" in page(admin_client, kind="change")


def test_page__goes_on_where_the_last_one_ended(admin_client, monkeypatch):
    monkeypatch.setattr("overview.happened.PAGE", 2)
    same = timezone.now()
    for number in range(5):
        record(Event.Kind.CHANGE, Event.Area.STATE, f"Number {number}.", at=same)
    url, seen = PAGE, []
    while url:
        text = admin_client.get(url).content.decode()
        seen += [number for number in range(4, -1, -1) if f"Number {number}." in text]
        before, found, _ = text.partition('">Older')
        url = PAGE + before.rpartition('href="')[2].replace("&amp;", "&") if found else ""
    assert seen == [4, 3, 2, 1, 0]
    assert flush_all() == (0, 0)
