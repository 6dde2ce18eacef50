"""The search of the start page, and that of a connector's keys."""

import pytest

from chat.models import ChatUser, Conversation
from common.events.models import Event
from tests.connectors import SigningConnector
from tests.operators import create_staff, logged_in

pytestmark = pytest.mark.django_db

KINDS = {
    "connector_state.view_connector": ["Connectors", "Key ids"],
    "connector_state.view_keys": ["Keys"],
    "chat.view_conversation": ["Users", "Conversations"],
}


@pytest.fixture
def connector() -> SigningConnector:
    """A connector with a key, and a user with a conversation; all have "conto" in their names."""
    connector = SigningConnector.create("mail <of> contoso")
    connector.put("v", "delta-of-contoso")
    ChatUser.objects.create(user_id="bob@contoso")
    Conversation.objects.create(
        user_id="ann@contoso", conversation_id="contoso-1", title="secret", id_is_integer=False
    )
    return connector


def search(client, text: str) -> dict[str, list[str]]:
    kinds = client.get("/admin/overview/search/", {"q": text}).context["kinds"]
    for url in [url for kind in kinds for url, _ in kind.links]:
        assert client.get(url).status_code == 200, url
    return {kind.title: [name for _, name in kind.links] for kind in kinds}


def test_search__finds_each_kind_and_links_to_it(connector):
    client = logged_in(create_staff(group="viewer"))
    page = client.get("/admin/overview/search/", {"q": "conto"}).content.decode()
    assert "mail &lt;of&gt; contoso" in page
    assert search(client, "CONTO")["Connectors"] == [f"mail <of> contoso ({connector.uuid})"]
    assert search(client, "conto") == {
        "Connectors": [f"mail <of> contoso ({connector.uuid})"],
        "Key ids": [],
        "Keys": ["m365 / delta-of-contoso of mail <of> contoso"],
        "Users": ["ann@contoso", "bob@contoso"],
        "Conversations": ["ann@contoso:contoso-1"],
    }
    assert search(client, "ann@")["Conversations"] == ["ann@contoso:contoso-1"]
    assert search(client, "ann@contoso:contoso-1")["Conversations"] == ["ann@contoso:contoso-1"]
    for pasted in ("m365 / delta-of", "m365:delta-of", "m365/delta-of", "5 / d"):
        assert search(client, pasted)["Keys"] == ["m365 / delta-of-contoso of mail <of> contoso"], (
            pasted
        )
    assert not search(client, "m365")["Keys"]  # a namespace is no key
    listed = client.get("/admin/chat/conversation/", {"q": "ann@contoso:contoso-1"})
    assert [row.pk for row in listed.context["cl"].result_list] == [Conversation.objects.get().pk]
    assert search(client, connector.key_id[2:-2])["Key ids"] == [
        f"{connector.key_id} of mail <of> contoso"
    ]
    assert search(client, str(connector.uuid)[5:20])["Connectors"]


def test_search__looks_at_nothing_that_was_said(connector):
    client = logged_in(create_staff(group="operator"))
    assert not any(search(client, "secret").values())
    assert not Event.objects.filter(kind=Event.Kind.READ).exists()


@pytest.mark.parametrize("permission", list(KINDS))
def test_search__is_of_what_one_may_see(connector, permission):
    client = logged_in(create_staff(permission))
    answer = client.get("/admin/overview/search/", {"q": "conto"})
    if permission == "connector_state.view_keys":  # the list of connectors is not for them
        assert answer.status_code == 403
    else:
        assert [kind.title for kind in answer.context["kinds"]] == KINDS[permission]


def test_search__of_nothing_and_of_odd_text():
    client = logged_in(create_staff(group="viewer"))
    assert client.get("/admin/overview/search/").context["kinds"] == []
    for text in ("\x00", "-", "%", "*[", "é" * 1000, "'"):
        assert client.get("/admin/overview/search/", {"q": text}).status_code == 200, text


def test_search__without_redis_finds_the_rest(connector, redis_away):
    client = logged_in(create_staff(group="viewer"))
    answer = client.get("/admin/overview/search/", {"q": "conto"})
    assert "Redis does not answer" in answer.content.decode()
    assert "ann@contoso" in answer.content.decode()


def test_start_page__has_the_search_for_those_who_may():
    assert b"site-search" in logged_in(create_staff(group="viewer")).get("/admin/").content
    accounts = logged_in(create_staff("auth.view_group", name="accounts"))
    assert b"site-search" not in accounts.get("/admin/").content


def test_keys__are_found_by_any_part(connector):
    client = logged_in(create_staff(group="viewer"))
    path = f"/admin/connector_state/connector/{connector.uuid}/keys/find/"
    found = client.get(path, {"text": "of-con", "namespace": "m365"})
    assert "delta-of-contoso" in found.content.decode()
    assert "No key contains" in client.get(path, {"text": "nothing"}).content.decode()
    assert client.get(path, {"text": "v", "namespace": "a:b"}).status_code == 400
    assert client.get(path).status_code == 200
