"""Admin says what connectors do: their calls, the use of their credentials, lists sorted by it."""

import time

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django_redis import get_redis_connection

from connector_state.credentials.counters import call_counts, failures, refusals
from connector_state.credentials.issuing import issue_credential
from connector_state.models import Connector, Credential
from connector_state.store.keys import connector_keys
from tests.connectors import SigningConnector
from tests.operators import connector_staff

pytestmark = pytest.mark.django_db

LIST = "/admin/connector_state/connector/"


@pytest.fixture
def admin_client(db) -> Client:
    """The superuser's browser."""
    client = Client()
    client.force_login(User.objects.create_superuser("root", password="x"))
    return client


@pytest.fixture(autouse=True)
def _refusals(monkeypatch) -> None:
    """Refusals are written when a test says so."""
    tally = failures.Tally(refusals._write, lambda flush: None)
    monkeypatch.setattr(refusals, "_tally", tally)


def flush() -> None:
    call_counts.flush()
    refusals._tally.flush()


def page_of(connector, tail: str = "change/") -> str:
    return f"{LIST}{connector.uuid}/{tail}"


def text_of(response, status: int = 200) -> str:
    assert response.status_code == status
    return response.content.decode()


def second_credential(connector: SigningConnector) -> SigningConnector:
    """The connector with one more credential."""
    issued = issue_credential(Connector.objects.get(pk=connector.uuid))
    return SigningConnector(connector.uuid, issued.key_id, issued.secret)


def make_unreadable(connector: SigningConnector, member: str) -> None:
    redis = get_redis_connection()
    redis.set(connector_keys(connector.uuid).value_prefix + member, b"\xff")


# --- The connector's page -----------------------------------------------------------------------


def test_page__counts_calls_and_refusals_with_a_link(admin_client, connector):
    connector.put("1")
    connector.put("2", query="?if_match=" + "0" * 40)
    Connector.objects.update(read_only=True)
    connector.send("GET", connector.path(), b"", connector.authorization("GET", "/elsewhere"))
    flush()
    text = text_of(admin_client.get(page_of(connector)))
    assert "2 today, 0 yesterday (UTC)" in text
    assert "412 precondition_failed" in text
    link = f"/admin/overview/happened/?kind=refusal&amp;connector={connector.uuid}&amp;from="
    assert link in text
    assert "bad_signature 1" in text


def test_page__has_what_it_does_first_then_credentials_then_policy(admin_client, connector):
    text = text_of(admin_client.get(page_of(connector)))
    parts = ("Status:", "Last seen", 'id="credentials"', 'name="read_only"')
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert 'name="enabled"' not in text  # disabling has one way


def test_page__links_to_values_that_cannot_be_read(admin_client, connector):
    for member in ("m365:bad & key", "m365:mended", "m365:gone"):
        make_unreadable(connector, member)
        connector.get(member.partition(":")[2])
    connector.put("better", "mended")
    connector.delete("gone")
    flush()
    text = text_of(admin_client.get(page_of(connector)))
    assert f"{page_of(connector, 'keys/key/')}?namespace=m365&amp;key=bad+%26+key" in text
    assert "mended" not in text
    assert "gone" not in text


def test_page__a_viewer_sees_neither_names_of_keys_nor_secrets(connector):
    make_unreadable(connector, "m365:of-contoso")
    connector.get("of-contoso")
    flush()
    text = text_of(connector_staff("view_connector").get(page_of(connector)))
    assert "of-contoso" not in text
    assert "1 value<" in text
    assert connector.secret not in text
    assert Credential.objects.get().encrypted_secret not in text
    text = text_of(connector_staff("view_connector", "view_keys").get(page_of(connector)))
    assert "of-contoso" in text


def test_page__without_redis_calls_are_unknown(admin_client, connector, redis_away):
    text = text_of(admin_client.get(page_of(connector)))
    assert '<th scope="row">Calls</th><td>unknown</td>' in text


# --- Credentials --------------------------------------------------------------------------------


def test_rotation__says_whether_the_new_one_is_used_and_where_the_old_one_was(
    admin_client, connector
):
    connector.get(REMOTE_ADDR="10.1.2.3")
    new = second_credential(connector)
    flush()
    for tail in ("change/", "credentials/rotate/"):
        text = text_of(admin_client.get(page_of(connector, tail)))
        assert "<strong>has not been used yet</strong>" in text
        assert 'from <span class="statekeep-name">10.1.2.3</span>' in text
    new.get(REMOTE_ADDR="10.9.8.7")
    flush()
    text = text_of(admin_client.get(page_of(connector)))
    assert f"<code>{new.key_id}</code>, <strong>is in use</strong>" in text
    assert "10.9.8.7" in text
    text = text_of(admin_client.get(page_of(connector, "credentials/")))
    assert "10.1.2.3" in text


def test_revoke__the_only_one_in_use_takes_a_tick(admin_client, connector):
    connector.get()
    new = second_credential(connector)
    url = page_of(connector, f"credentials/{Credential.objects.last().pk}/revoke/")
    assert 'name="even_so"' in text_of(admin_client.get(url))
    assert "Nothing was revoked" in text_of(admin_client.post(url))
    assert connector.get().status_code == 200
    admin_client.post(url, {"even_so": "yes"})
    assert [one.key_id for one in Credential.objects.live()] == [new.key_id]


def test_revoke__an_old_one_takes_no_tick_once_the_new_one_is_in_use(admin_client, connector):
    connector.get()
    new = second_credential(connector)
    new.get()
    url = page_of(connector, f"credentials/{Credential.objects.last().pk}/revoke/")
    assert 'name="even_so"' not in text_of(admin_client.get(url))
    admin_client.post(url)
    assert [one.key_id for one in Credential.objects.live()] == [new.key_id]


def test_secret__has_buttons_that_copy_it(admin_client, connector):
    url = page_of(connector, "credentials/issue/")
    token = text_of(admin_client.get(url)).split('name="token" value="')[1].split('"')[0]
    text = text_of(admin_client.post(url, {"token": token}))
    for what in ("uuid", "key-id", "secret", "json"):
        assert f'data-copies="{what}"' in text
        assert f'id="{what}"' in text


# --- The audit ----------------------------------------------------------------------------------


def test_audit__has_the_address_of_connectors_and_operators(admin_client, connector):
    connector.call("PUT", connector.path(), b"v", REMOTE_ADDR="10.4.4.4")
    query = "?namespace=m365&key=delta"
    admin_client.post(page_of(connector, "keys/key/value/") + query, REMOTE_ADDR="10.5.5.5")
    response = admin_client.get(page_of(connector, "audit/"))
    entries = response.context["page"].entries
    assert [(one.operation, one.address) for one in entries] == [
        ("read", "10.5.5.5"),
        ("put", "10.4.4.4"),
    ]
    assert "10.4.4.4" in text_of(response)


def test_audit__of_an_earlier_version_has_no_address(admin_client, connector):
    fields = {"op": "put", "by": "x", "member": "a:b", "size": 0, "etag": ""}
    get_redis_connection().xadd(f"statekeep:{{{connector.uuid}}}:audit", fields)
    (entry,) = admin_client.get(page_of(connector, "audit/")).context["page"].entries
    assert entry.address == ""


# --- The list -----------------------------------------------------------------------------------


def names(client: Client, order: str) -> list[str]:
    return [row.name for row in client.get(LIST, {"o": order}).context["cl"].result_list]


@pytest.fixture
def three(db) -> None:
    """Connectors of which each has most of something: a has keys, b bytes, c the last call."""
    for name, keys, size, ago in (("a", 3, 1, 50), ("b", 1, 100, 90), ("c", 2, 4, 10)):
        connector = SigningConnector.create(name)
        for number in range(keys):
            connector.put("x" * size, f"k{number}")
        redis, used = get_redis_connection(), f"statekeep:{{{connector.uuid}}}:last_used"
        redis.hset(used, connector.key_id, int(time.time()) - ago)
        redis.hset(used, "operator:root", int(time.time()))
    SigningConnector.create("unused")


# With view_keys the columns are: connector, status, namespaces, keys, size, last seen, key ids.
@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("-3", ["a", "c", "b", "unused"]),
        ("3", ["unused", "b", "c", "a"]),
        ("-4", ["b", "c", "a", "unused"]),
        ("-5", ["c", "a", "b", "unused"]),
        ("5.0", ["unused", "b", "a", "c"]),
        ("-0.3", ["unused", "c", "b", "a"]),
    ],
)
def test_list__is_sorted_by_use(order, expected, admin_client, three):
    assert names(admin_client, order) == expected


def test_list__sorted_by_use_has_pages(admin_client, three, monkeypatch):
    monkeypatch.setattr("connector_state.admin.connectors.pages.ConnectorAdmin.list_per_page", 3)
    assert names(admin_client, "-3") == ["a", "c", "b"]
    page = admin_client.get(LIST, {"o": "-3", "p": "2"})
    assert [row.name for row in page.context["cl"].result_list] == ["unused"]
    shown = admin_client.get(LIST, {"o": "-3", "all": ""})
    assert len(shown.context["cl"].result_list) == 4


def test_list__sorted_by_use_without_redis_is_sorted_otherwise(admin_client, three, redis_away):
    response = admin_client.get(LIST, {"o": "-3"})
    assert "Redis does not answer" in text_of(response)
    assert len(response.context["cl"].result_list) == 4


def test_list__sorted_by_use_is_filtered_and_searched(admin_client, three):
    Connector.objects.filter(name="c").update(read_only=True)
    found = admin_client.get(LIST, {"o": "-3", "read_only__exact": "1"}).context["cl"].result_list
    assert [row.name for row in found] == ["c"]


# --- Keys by size -------------------------------------------------------------------------------


def test_keys__largest_first(admin_client, connector):
    for size, key in ((5, "a"), (50, "b*"), (500, "c"), (5000, "b"), (70, "b*2")):
        connector.put("x" * size, key)
    connector.put("x" * 9999, "other", ns="m365x")
    url = page_of(connector, "keys/") + "?namespace=m365&sort=size"
    rows = admin_client.get(url).context["rows"]
    assert [(row["key"], row["size"]) for row in rows] == [
        ("b", 5000),
        ("c", 500),
        ("b*2", 70),
        ("b*", 50),
        ("a", 5),
    ]
    rows = admin_client.get(url + "&prefix=b*").context["rows"]
    assert [row["key"] for row in rows] == ["b*2", "b*"]


def test_keys__largest_first_of_many_are_a_page(admin_client, connector):
    keys = connector_keys(connector.uuid)
    sizes = {f"m365:{number}": number for number in range(5000)}
    get_redis_connection().hset(keys.named("sizes"), mapping=sizes)
    values = {keys.value_prefix + member: "x" * size for member, size in list(sizes.items())[4850:]}
    get_redis_connection().mset(values)
    response = admin_client.get(page_of(connector, "keys/") + "?namespace=m365&sort=size")
    assert [row["size"] for row in response.context["rows"]] == list(range(4999, 4899, -1))
    assert "Sort by name" in text_of(response)


def test_keys__largest_first_takes_view_keys(connector):
    client = connector_staff("view_connector", "view_values")
    url = page_of(connector, "keys/") + "?namespace=m365&sort=size"
    assert client.get(url).status_code == 403
