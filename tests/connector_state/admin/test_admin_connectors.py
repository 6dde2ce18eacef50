"""Connectors in admin: the list, a connector's page, its policy, its credentials, its audit."""

import re
import threading
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone
from django_redis import get_redis_connection

from connector_state.admin import form_token
from connector_state.credentials import live
from connector_state.credentials.issuing import issue_credential
from connector_state.models import Connector, Credential, EnrolmentChange
from connector_state.store.usage import NAMESPACES_COUNTED, usage_of
from tests.connectors import SigningConnector, redis_servers
from tests.operators import connector_staff

pytestmark = pytest.mark.django_db

LIST = "/admin/connector_state/connector/"
ADD = f"{LIST}add/"
HOSTILE = "<script>alert(1)</script>" + "x" * 200


@pytest.fixture
def admin_client(db) -> Client:
    """The superuser's browser."""
    client = Client()
    client.force_login(User.objects.create_superuser("root", password="x"))
    return client


def page_of(connector, tail: str = "change/") -> str:
    return f"{LIST}{connector.uuid}/{tail}"


def text_of(response, status: int = 200) -> str:
    assert response.status_code == status
    return response.content.decode()


def test_page__says_that_scans_come_with_the_key_id_which_is_no_proof(admin_client, connector):
    mark = "Scans or other calls that only a dsx-connect answers come here with its key id"
    assert mark not in text_of(admin_client.get(page_of(connector)))
    stranger = SigningConnector(connector.uuid, connector.key_id, "not its secret")
    stranger.call("POST", "/dsx-connect/api/v1/scan/request")
    text = text_of(admin_client.get(page_of(connector)))
    assert mark in text
    assert "anybody who knows the key id may have sent them" in text


def test_page__says_that_a_connector_registers_and_never_signs(admin_client):
    connector = SigningConnector.create(heartbeat_group="blue")
    mark = "It registers, but has never signed a call"
    assert "for tokens of group" in text_of(admin_client.get(page_of(connector)))
    Connector.objects.update(last_seen_at=timezone.now())
    assert mark in text_of(admin_client.get(page_of(connector)))
    connector.get()
    assert mark not in text_of(admin_client.get(page_of(connector)))
    Credential.objects.update(revoked_at=timezone.now())
    issue_credential(Connector.objects.get())  # which nobody has given to the connector yet
    assert mark in text_of(admin_client.get(page_of(connector)))


TAILS = (
    "audit/",
    "history/",
    "disable/",
    "credentials/",
    "credentials/issue/",
    "keys/",
    "transfer/",
)


def token_of(response) -> str:
    return text_of(response).split('name="token" value="')[1].split('"')[0]


def secret_of(response) -> str:
    return text_of(response).split('id="secret">')[1].split("<")[0]


def history() -> list[str]:
    return [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]


def opens(key_id: str, secret: str, uuid: str) -> bool:
    live.clear_cache()
    return SigningConnector(uuid, key_id, secret).get().status_code == 200


# --- Who may do what ----------------------------------------------------------------------------

NEEDED = {
    "": {"view_connector"},
    "add/": {"add_connector", "add_credential"},
    "{}/change/": {"view_connector"},
    "{}/history/": {"view_connector", "view_keys"},
    "{}/audit/": {"view_keys"},
    "{}/credentials/": {"view_connector"},
    "{}/credentials/issue/": {"add_credential"},
    "{}/credentials/rotate/": {"add_credential", "change_credential"},
    "{}/credentials/1/revoke/": {"change_credential"},
    "{}/disable/": {"change_connector"},
    "{}/enable/": {"change_connector"},
    "{}/let-go/": {"change_connector"},
    "{}/delete/": {"delete_connector"},
}
ALL = set().union(*NEEDED.values())


@pytest.mark.parametrize("path", NEEDED)
def test_page__each_permission_is_needed(path, connector):
    url = LIST + path.format(connector.uuid)
    for missing in NEEDED[path]:
        # To view is to view or to change; only without both it is refused.
        held = ALL - {missing} - ({"change_connector"} if missing == "view_connector" else set())
        client = connector_staff(*held)
        assert client.get(url).status_code == 403, missing
        assert client.post(url).status_code == 403, missing
    assert LogEntry.objects.count() == 0
    assert Connector.objects.get().enabled


@pytest.mark.parametrize("path", [path for path in NEEDED if "{}" in path])
def test_page__without_permission_unknown_connectors_are_403_too(path):
    url = LIST + path.format(uuid4())
    client = connector_staff()
    assert client.get(url).status_code == client.post(url).status_code == 403


def test_page__who_may_only_view_changes_nothing(connector):
    client = connector_staff("view_connector", "view_keys")
    assert client.post(page_of(connector), policy(enabled=None)).status_code == 403
    assert "_save" not in text_of(client.get(page_of(connector)))
    assert Connector.objects.get().enabled


def test_page__an_unknown_connector_is_not_an_error(admin_client):
    assert admin_client.get(f"{LIST}{uuid4()}/change/").status_code == 302
    assert admin_client.get(f"{LIST}nonsense/change/").status_code == 302
    assert admin_client.get(f"{LIST}{uuid4()}/audit/").status_code == 404


def test_page__nobody_deletes_a_connector(admin_client, connector):
    assert admin_client.post(page_of(connector, "delete/"), {"post": "yes"}).status_code == 403
    assert Connector.objects.count() == 1


# --- The list -----------------------------------------------------------------------------------


def test_list__shows_state_use_and_live_credentials(admin_client, connector):
    for namespace in ("a", "b", "c", "d", "e"):
        connector.put("12345", ns=namespace)
    text = text_of(admin_client.get(LIST))
    keys = page_of(connector, "keys/")
    assert f'<a href="{keys}?namespace=a">a</a>, <a' in text
    assert "c</a> and 2 more" in text
    assert f'<td class="field-keys"><a href="{keys}">5</a></td>' in text
    assert "25\xa0bytes" in text
    assert '<td class="field-live_credentials">1 live</td>' in text
    assert connector.uuid in text


def test_list__counts_namespaces_up_to_a_bound(admin_client, connector):
    for number in range(NAMESPACES_COUNTED + 5):
        connector.put("v", ns=f"n{number:02}")
    assert "n02</a> and at least 17 more" in text_of(admin_client.get(LIST))


def test_list__namespaces_are_for_those_who_may_see_keys(connector):
    connector.put("v", ns="secret-project")
    assert "secret-project" not in text_of(connector_staff("view_connector").get(LIST))
    assert page_of(connector, "keys/") not in text_of(connector_staff("view_connector").get(LIST))
    assert "secret-project" in text_of(connector_staff("view_connector", "view_keys").get(LIST))


def test_list__is_sorted_by_name_whatever_its_case(admin_client):
    for name in ("b", "A", "C"):
        SigningConnector.create(name)
    rows = admin_client.get(LIST).context["cl"].result_list
    assert [row.name for row in rows] == ["A", "b", "C"]
    rows = admin_client.get(LIST, {"o": "-0"}).context["cl"].result_list
    assert [row.name for row in rows] == ["C", "b", "A"]


def zcards() -> int:
    """How often ZCARD was called, on all servers."""
    stats = [server.info("commandstats") for server in redis_servers()]
    return sum(each.get("cmdstat_zcard", {"calls": 0})["calls"] for each in stats)


def test_list__reads_its_page_alone_in_as_many_queries_as_for_one(
    admin_client, django_assert_max_num_queries
):
    SigningConnector.create("c0")
    with django_assert_max_num_queries(20) as few:
        admin_client.get(LIST)
    for number in range(1, 60):
        SigningConnector.create(f"c{number}")
    before = zcards()
    with django_assert_max_num_queries(len(few)):
        text = text_of(admin_client.get(LIST))
    assert zcards() - before == 50
    assert "60 connectors" in text


@pytest.mark.parametrize("what", ["name", "uuid", "plain_uuid", "url", "key_id"])
def test_list__is_searched_by(what, admin_client, connector):
    stranger = SigningConnector.create("wanted", url="http://wanted.example:8080")
    words = {
        "name": "wanted",
        "uuid": stranger.uuid,
        "plain_uuid": stranger.uuid.replace("-", ""),
        "url": "wanted.example",
        "key_id": stranger.key_id,
    }
    if what == "plain_uuid" and connection.vendor == "postgresql":
        pytest.skip("PostgreSQL writes a UUID with its dashes")
    text = text_of(admin_client.get(LIST, {"q": words[what]}))
    assert stranger.uuid in text
    assert connector.uuid not in text


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("enabled__exact=0", {"disabled"}),
        ("read_only__exact=1", {"reading"}),
        ("offline=1", {"offline"}),
        ("enrolled=1", {"offline", "enrolled"}),
        ("enrolled=0", {"disabled", "reading", "locked"}),
        ("live=0", {"locked"}),
    ],
)
def test_list__is_filtered_by(query, names, admin_client):
    SigningConnector.create("disabled", enabled=False)
    SigningConnector.create("reading", read_only=True)
    SigningConnector.create("offline", offline_at=timezone.now(), enrolment_group="")
    SigningConnector.create("enrolled", enrolment_group="blue")
    SigningConnector.create("locked")
    Credential.objects.filter(connector__name="locked").update(revoked_at=timezone.now())
    response = admin_client.get(f"{LIST}?{query}")
    assert {c.name for c in response.context["cl"].result_list} == names


def test_list__empty_says_what_to_do(admin_client):
    assert "There is no connector yet" in text_of(admin_client.get(LIST))
    SigningConnector.create()
    assert "No connector matches" in text_of(admin_client.get(LIST, {"q": "nothing"}))


def test_list__without_redis_goes_on_with_a_note(admin_client, connector, redis_away):
    text = text_of(admin_client.get(LIST))
    assert "Redis does not answer" in text
    assert '<td class="field-keys">unknown</td>' in text
    assert connector.uuid in text


def test_last_seen__is_not_moved_by_operators(connector):
    connector.get()
    by_connector = usage_of([connector.uuid])[connector.uuid].last_used_at
    redis = get_redis_connection()
    later = int(timezone.now().timestamp()) + 500
    redis.hset(f"statekeep:{{{connector.uuid}}}:last_used", "operator:root", later)
    usage = usage_of([connector.uuid])[connector.uuid]
    assert "operator:root" in usage.last_used
    assert usage.last_used_at == by_connector


# --- A connector's page -------------------------------------------------------------------------


def test_connector__shows_facts_use_and_credentials(admin_client, connector):
    connector.put("12345")
    row = Connector.objects.get()
    row.enrolment_group, row.url, row.peer_address = "blue", "http://c:80", "10.1.2.3"
    row.save()
    EnrolmentChange.objects.create(connector=row, field="url", before="http://b", after="http://c")
    text = text_of(admin_client.get(page_of(connector)))
    for shown in ("group", "blue", "http://b", "http://c:80", "10.1.2.3", "1 of 250,000 (default)"):
        assert shown in text
    assert f"<code>{connector.key_id}</code>" in text
    assert "live" in text
    assert connector.secret not in text
    assert Credential.objects.get().encrypted_secret not in text


def test_connector__hostile_names_are_text(admin_client):
    connector = SigningConnector.create(HOSTILE, url="javascript:alert(1)", enrolment_group="")
    for tail in ("change/", "history/", "audit/", "disable/", "credentials/issue/"):
        text = text_of(admin_client.get(page_of(connector, tail)))
        assert "<script>alert" not in text
        assert 'href="javascript:' not in text
    assert "<script>alert" not in text_of(admin_client.get(LIST))


def test_connector__without_redis_its_policy_can_be_changed(admin_client, connector, redis_away):
    response = admin_client.get(page_of(connector))
    assert "Redis does not answer" in text_of(response)
    admin_client.post(page_of(connector), policy(read_only="on"))
    assert Connector.objects.get().read_only
    assert "unknown" in text_of(admin_client.get(page_of(connector, "credentials/")))
    pk = Credential.objects.get().pk
    assert "unknown" in text_of(admin_client.get(page_of(connector, f"credentials/{pk}/revoke/")))


def test_connector__links_to_keys_and_history_are_for_those_who_may_follow_them(connector):
    text = text_of(connector_staff("view_connector").get(page_of(connector)))
    for link in ("audit/", "history/", "disable/", "credentials/issue/", "/revoke/"):
        assert link not in text
    assert "audit/" in text_of(
        connector_staff("view_connector", "view_keys").get(page_of(connector))
    )


def test_credentials__are_paged_with_the_live_ones_first(admin_client, connector):
    row = Connector.objects.get()
    old = Credential.objects.get()
    for _ in range(120):
        issue_credential(row)
    Credential.objects.exclude(pk=old.pk).update(revoked_at=timezone.now())
    text = text_of(admin_client.get(page_of(connector)))
    assert text.index(old.key_id) < text.index("revoked</td>")
    assert "All 121 credentials" in text
    text = text_of(admin_client.get(page_of(connector, "credentials/"), {"page": 2}))
    assert "Page 2 of 2" in text
    assert text.count("revoked</td>") == 21


# --- Policy -------------------------------------------------------------------------------------


def policy(shown: Connector | None = None, **changed) -> dict:
    """What a browser sends: the form as it was shown, with what the operator changed."""
    shown = shown or Connector.objects.get()
    limits = ("max_keys", "max_bytes", "max_requests_per_second")
    form = {
        "name": shown.name,
        "initial-name": shown.name,
        "initial-enabled": str(shown.enabled),
        "initial-read_only": str(shown.read_only),
        "initial-allowed_namespaces": shown.allowed_namespaces,
        "allowed_namespaces": shown.allowed_namespaces,
        **{name: getattr(shown, name) or "" for name in limits},
        **{f"initial-{name}": getattr(shown, name) or "" for name in limits},
        **({"enabled": "on"} if shown.enabled else {}),
        **changed,
    }
    return {name: value for name, value in form.items() if value is not None}


def test_policy__is_changed_and_recorded(admin_client, connector):
    response = admin_client.post(
        page_of(connector),
        policy(allowed_namespaces=" m365 \r\n\r\none-*\r\n", max_keys="5", max_bytes="0"),
    )
    assert response["Location"] == page_of(connector)
    row = Connector.objects.get()
    assert (row.allowed_namespaces, row.max_keys, row.max_bytes) == ("m365\none-*", 5, 0)
    (message,) = history()
    assert "allowed_namespaces from any to m365 one-*" in message
    assert "max_keys from the default to 5" in message
    live.clear_cache()
    assert connector.put("v", ns="other").json()["code"] == "namespace_not_allowed"
    text = text_of(admin_client.get(page_of(connector)))
    assert "0 of 5" in text
    assert "0\xa0bytes of no limit" in text


def test_policy__empty_is_the_default_again(admin_client, connector):
    Connector.objects.update(max_keys=5)
    admin_client.post(page_of(connector), policy(max_keys=""))
    assert Connector.objects.get().max_keys is None


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("allowed_namespaces", "a:b", "no &#x27;:&#x27;"),
        ("allowed_namespaces", "two words", "no space"),
        ("allowed_namespaces", "m365,onedrive", "one pattern per line"),
        ("allowed_namespaces", "n" * 200, "1 to 128 bytes"),
        ("max_keys", "-1", "greater than or equal to 0"),
        ("max_bytes", "1" + "0" * 30, "less than or equal to"),
        ("max_requests_per_second", "many", "whole number"),
    ],
)
def test_policy__bad_input_is_said_and_changes_nothing(
    field, value, words, admin_client, connector
):
    text = text_of(admin_client.post(page_of(connector), policy(**{field: value})))
    assert words in text
    assert history() == []


def test_policy__names_the_namespaces_that_are_wrong(admin_client, connector):
    typed = "m365\r\ntwo words\r\n\r\na:b\r\n" + "\r\n".join(f"w {n}" for n in range(20))
    text = text_of(admin_client.post(page_of(connector), policy(allowed_namespaces=typed)))
    assert "Line 2, “two words”: A pattern may hold no space" in text
    assert "Line 4, “a:b”:" in text
    assert "Line 1," not in text
    assert "And 12 more lines." in text


def test_name__its_marks_are_written_out_wherever_it_stands(admin_client, connector):
    Connector.objects.update(name="gnp\u202eexe", enrolment_group="g\u200b")
    pages = ("", page_of(connector), *(page_of(connector, tail) for tail in TAILS))
    for page in pages:
        text = text_of(admin_client.get(page or "/admin/connector_state/connector/"))
        shown = re.sub(r'value="[^"]*"', "", text)  # what a form keeps stays as it is
        assert "\u202e" not in shown, page
        assert "\u200b" not in shown, page
        assert "gnp⟨U+202E⟩exe" in text, page


def test_policy__does_not_undo_what_others_did_meanwhile(admin_client, connector):
    shown = Connector.objects.get()
    Connector.objects.update(enabled=False, last_seen_at=timezone.now(), name="renamed")
    admin_client.post(page_of(connector), policy(shown, read_only="on"))
    row = Connector.objects.get()
    assert (row.enabled, row.read_only, row.name) == (False, True, "renamed")
    assert row.last_seen_at is not None


def test_name__is_changed_and_recorded(admin_client, connector):
    before = Connector.objects.get().name
    admin_client.post(page_of(connector), policy(name=" m365 of fabrikam "))
    assert Connector.objects.get().name == "m365 of fabrikam"
    (message,) = history()
    assert f"name from {before} to m365 of fabrikam" in message


@pytest.mark.parametrize("name", ["", " ", "n" * 256, "a\x1b[0mb", "a\u202eb"])
def test_name__bad_input_changes_nothing(name, admin_client, connector):
    before = Connector.objects.get().name
    assert "Please correct" in text_of(admin_client.post(page_of(connector), policy(name=name)))
    assert Connector.objects.get().name == before


def test_name__that_an_enrolment_brought_does_not_hinder_its_policy(admin_client, connector):
    Connector.objects.update(name="a\u202eb")
    admin_client.post(page_of(connector), policy(read_only="on"))
    row = Connector.objects.get()
    assert (row.name, row.read_only) == ("a\u202eb", True)


def test_disable__at_once_and_enable_again(admin_client, connector):
    assert "within 2 s" in text_of(admin_client.get(page_of(connector, "disable/")))
    assert connector.get().status_code == 200
    assert admin_client.post(page_of(connector, "disable/")).status_code == 302
    live.clear_cache()
    assert connector.get().status_code == 401
    # As after a new log-in, which sends a browser back to where it was.
    assert admin_client.get(page_of(connector, "enable/"))["Location"] == page_of(connector)
    admin_client.post(page_of(connector, "enable/"))
    live.clear_cache()
    assert connector.get().status_code == 200
    assert history() == ["Disabled.", "Enabled."]


def test_change__needs_a_csrf_token(connector):
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("root", password="x"))
    for tail in ("change/", "disable/", "credentials/issue/", "credentials/1/revoke/"):
        assert client.post(page_of(connector, tail)).status_code == 403
    assert client.post(ADD).status_code == 403


# --- Credentials --------------------------------------------------------------------------------


def send(client, url, **fields):
    """Open the form, and send it."""
    token = token_of(client.get(url))
    return client.post(url, {"token": token, **fields})


def test_issue__shows_the_secret_in_the_answer_alone(admin_client, connector):
    url = page_of(connector, "credentials/issue/")
    response = send(admin_client, url, expires_in_days="7")
    secret = secret_of(response)
    assert "no-store" in response["Cache-Control"]
    assert response["Referrer-Policy"] == "no-referrer"
    newest = Credential.objects.first()
    assert timedelta(days=6.9) < newest.expires_at - timezone.now() < timedelta(days=7)
    assert opens(newest.key_id, secret, connector.uuid)
    assert opens(connector.key_id, connector.secret, connector.uuid)
    assert history() == [f"Issued credential {newest.key_id}."]
    assert secret not in str(list(LogEntry.objects.values()))
    assert secret not in str(admin_client.session.items())
    for later in (page_of(connector), url, page_of(connector, "history/"), LIST):
        assert secret not in text_of(admin_client.get(later))


def test_issue__sent_twice_issues_once(admin_client, connector):
    url = page_of(connector, "credentials/issue/")
    form = {"token": token_of(admin_client.get(url))}
    assert admin_client.post(url, form).status_code == 200
    again = text_of(admin_client.post(url, form), 409)
    assert "A credential was issued since this form was shown" in again
    assert Credential.objects.first().key_id in again
    assert Credential.objects.count() == 2


@pytest.mark.parametrize("tail", ["credentials/issue/", "credentials/rotate/"])
def test_issue__bad_input_issues_nothing(tail, admin_client, connector):
    url = page_of(connector, tail)
    for days in ("0", "-1", "x", "99999"):
        response = send(admin_client, url, expires_in_days=days, overlap_hours="1")
        assert "correct what is marked" in text_of(response)
    assert Credential.objects.count() == 1


def test_issue__a_form_of_another_user_connector_or_hour_issues_nothing(
    admin_client, connector, stranger, monkeypatch
):
    url = page_of(connector, "credentials/issue/")
    token = token_of(admin_client.get(url))
    other_user = connector_staff("add_credential")
    for client, path, sent in (
        (other_user, url, token),
        (admin_client, page_of(stranger, "credentials/issue/"), token),
        (admin_client, page_of(connector, "credentials/rotate/"), token),
        (admin_client, url, "forged"),
        (admin_client, url, ""),
    ):
        form = {"token": sent, "overlap_hours": "1"}
        assert "Nothing was done" in text_of(client.post(path, form))
    monkeypatch.setattr(form_token, "MAX_AGE_SECONDS", -1)
    assert "Nothing was done" in text_of(admin_client.post(url, {"token": token}))
    assert Credential.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_issue__of_two_at_once_one_wins(connector):
    user = User.objects.create_superuser("root", password="x")
    url = page_of(connector, "credentials/issue/")
    clients = [Client() for _ in range(4)]
    for client in clients:
        client.force_login(user)
    token = token_of(clients[0].get(url))
    statuses: list[int] = []

    def post(client: Client) -> None:
        statuses.append(client.post(url, {"token": token}).status_code)
        connection.close()

    threads = [threading.Thread(target=post, args=[client]) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 409, 409, 409]
    assert Credential.objects.count() == 2


def test_rotate__the_others_end_after_the_overlap(admin_client, connector):
    url = page_of(connector, "credentials/rotate/")
    assert 'name="overlap_hours" value="24"' in text_of(admin_client.get(url))
    secret = secret_of(send(admin_client, url, overlap_hours="0"))
    newest = Credential.objects.first()
    assert newest.expires_at is None
    assert opens(newest.key_id, secret, connector.uuid)
    assert not opens(connector.key_id, connector.secret, connector.uuid)
    assert history() == [f"Issued credential {newest.key_id}; the others end after 0 h."]


def test_rotate__refuses_a_new_one_that_ends_before_the_others(admin_client, connector):
    url = page_of(connector, "credentials/rotate/")
    page = send(admin_client, url, overlap_hours="48", expires_in_days="1")
    assert "end before the others" in text_of(page)
    assert Credential.objects.get().expires_at is None


def test_revoke__warns_of_the_last_live_one_and_ends_it(admin_client, connector):
    first = Credential.objects.get()
    second = issue_credential(Connector.objects.get())
    url = page_of(connector, f"credentials/{first.pk}/revoke/")
    assert "last live credential" not in text_of(admin_client.get(url))
    admin_client.post(url)
    assert not opens(first.key_id, connector.secret, connector.uuid)
    assert opens(second.key_id, second.secret, connector.uuid)
    pk = Credential.objects.get(key_id=second.key_id).pk
    text = text_of(admin_client.get(page_of(connector, f"credentials/{pk}/revoke/")))
    assert "last live credential" in text
    assert "nothing left to do" in text_of(admin_client.get(url))
    admin_client.post(url)
    assert history() == [f"Revoked credential {first.key_id}."]


def test_revoke__stays_within_its_connector(admin_client, connector, stranger):
    pk = Credential.objects.get(key_id=stranger.key_id).pk
    url = page_of(connector, f"credentials/{pk}/revoke/")
    assert admin_client.get(url).status_code == admin_client.post(url).status_code == 404
    assert Credential.objects.live().count() == 2


# --- Adding -------------------------------------------------------------------------------------


def test_add__makes_a_connector_with_its_first_credential(admin_client):
    response = send(admin_client, ADD, name=" m365 ", uuid="")
    secret = secret_of(response)
    assert "no-store" in response["Cache-Control"]
    assert response["Referrer-Policy"] == "no-referrer"
    credential = Credential.objects.get()
    assert credential.connector.name == "m365"
    assert opens(credential.key_id, secret, str(credential.connector.pk))
    assert history() == [f"Added, with credential {credential.key_id}."]
    assert secret not in text_of(admin_client.get(page_of(credential.connector)))


def test_add__warns_of_a_name_that_exists(admin_client):
    assert "has this name already" not in text_of(send(admin_client, ADD, name="m365", uuid=""))
    response = send(admin_client, ADD, name="m365", uuid="")
    assert "has this name already" in text_of(response)
    assert secret_of(response)
    assert Connector.objects.count() == 2


@pytest.mark.parametrize("uuid", ["", "3f8e0c8e-6f0a-4c8e-9a52-2f1d6c7b9e11"])
def test_add__sent_twice_adds_once(uuid, admin_client):
    form = {"token": token_of(admin_client.get(ADD)), "name": "m365", "uuid": uuid}
    assert admin_client.post(ADD, form).status_code == 200
    assert "already" in text_of(admin_client.post(ADD, form), 409)
    assert Connector.objects.count() == Credential.objects.count() == LogEntry.objects.count() == 1


@pytest.mark.parametrize(
    ("name", "uuid"), [("", ""), (" ", ""), ("n" * 256, ""), ("a\x1b[0mb", ""), ("ok", "no-uuid")]
)
def test_add__bad_input_adds_nothing(name, uuid, admin_client):
    response = send(admin_client, ADD, name=name, uuid=uuid)
    assert "correct what is marked" in text_of(response)
    assert Connector.objects.count() == 0


def test_add__a_form_without_its_token_adds_nothing(admin_client):
    assert "Nothing was done" in text_of(admin_client.post(ADD, {"name": "m365"}))
    assert Connector.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_add__of_two_at_once_one_wins():
    client = Client()
    client.force_login(User.objects.create_superuser("root", password="x"))
    form = {"token": token_of(client.get(ADD)), "name": "m365"}
    statuses: list[int] = []

    def post() -> None:
        statuses.append(client.post(ADD, form).status_code)
        connection.close()

    threads = [threading.Thread(target=post) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 409, 409]
    assert Connector.objects.count() == Credential.objects.count() == 1


# --- Audit and history --------------------------------------------------------------------------


def test_audit__is_paged_newest_first(admin_client, connector):
    for number in range(150):
        connector.put("v", f"key{number:03}")
    first = admin_client.get(page_of(connector, "audit/"))
    text = text_of(first)
    assert text.index("key149") < text.index("key050")
    assert "key049" not in text
    second = text_of(admin_client.get(f"{page_of(connector, 'audit/')}?{first.context['older']}"))
    assert second.index("key049") < second.index("key000")
    assert "key050" not in second
    assert "Older" not in second


@pytest.mark.parametrize(
    ("name", "value"),
    [("operation", "delete"), ("by", "stranger"), ("namespace", "other"), ("key", "odd")],
)
def test_audit__is_filtered_by(name, value, admin_client, connector):
    connector.put("v", "plain")
    audit_entry(
        connector.uuid,
        **{"operation": "put", "by": "x", "namespace": "n", "key": "k"} | {name: value},
    )
    response = admin_client.get(page_of(connector, "audit/"), {name: value})
    assert [getattr(e, name) for e in response.context["page"].entries] == [value]


def audit_entry(uuid: str, operation: str, by: str, namespace: str, key: str) -> None:
    fields = {"op": operation, "by": by, "member": f"{namespace}:{key}", "size": 0, "etag": ""}
    get_redis_connection().xadd(f"statekeep:{{{uuid}}}:audit", fields)


def test_audit__looks_at_a_bounded_number_and_goes_on(admin_client, connector, monkeypatch):
    from connector_state.store import audit

    monkeypatch.setattr(audit.page, "__defaults__", (100, 4))
    connector.put("v", "needle")
    for number in range(6):
        connector.put("v", f"hay{number}")
    url = page_of(connector, "audit/")
    first = admin_client.get(url, {"key": "needle"})
    assert "There are older ones" in text_of(first)
    assert "needle" in text_of(admin_client.get(f"{url}?{first.context['older']}"))


def test_audit__etags_are_for_those_who_may_see_values(connector):
    etag = connector.put("yes")["ETag"].strip('"')
    url = page_of(connector, "audit/")
    assert etag not in text_of(connector_staff("view_keys").get(url))
    assert etag in text_of(connector_staff("view_keys", "view_values").get(url))


@pytest.mark.parametrize("before", ["x", "+", "-", "1-1 ", "9" * 30 + "-0", "\x00"])
def test_audit__a_bad_page_is_the_newest(before, admin_client, connector):
    connector.put("v", "delta")
    text = text_of(admin_client.get(page_of(connector, "audit/"), {"before": before}))
    assert "delta" in text


def test_audit__without_redis_is_503_in_words(admin_client, connector, redis_away):
    text = text_of(admin_client.get(page_of(connector, "audit/")), 503)
    assert "Redis does not answer" in text


def test_history__shows_what_operators_did(admin_client, connector):
    admin_client.post(page_of(connector, "disable/"))
    assert "Disabled." in text_of(admin_client.get(page_of(connector, "history/")))
