"""The admin pages of earlier values: who sees what, and what restoring writes."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django_redis import get_redis_connection

from connector_state.errors import Unavailable
from connector_state.models import Connector
from connector_state.operator_session import OperatorSession
from connector_state.store import audit, history, policy
from connector_state.store.keys import Address
from tests.connector_state.admin.test_admin_keys import (
    ALL,
    Admin,
    audited,
    etag_of,
    redis_key,
    store,
    text_of,
)

pytestmark = pytest.mark.django_db

KEY = {"namespace": "m365", "key": "delta"}


@pytest.fixture
def admin(connector) -> Admin:
    return Admin(connector.uuid, *ALL, "view_connector", "change_connector")


@pytest.fixture(autouse=True)
def _no_wait(monkeypatch):
    monkeypatch.setattr(policy, "EFFECTIVE_SECONDS", 0)


@pytest.fixture
def etags(connector) -> list[str]:
    """ "one" and "two" were overwritten by "three"; the ETags of the three."""
    return [etag_of(connector.put(value)) for value in ("one", "two", "three")]


def versions(admin: Admin) -> list[str]:
    """The ids of a key's versions on its page, newest first."""
    page = text_of(admin.get("keys/key/", **KEY))
    return re.findall(r'name="version" value="(\w+)"', page)


def ask(admin: Admin, version: str):
    return admin.post("keys/key/restore/", {"version": version})


def confirm(admin: Admin, question, **fields):
    return admin.post("keys/key/restore/", {**dict(question.context["hidden"]), **fields})


def logged() -> list[str]:
    return list(LogEntry.objects.order_by("pk").values_list("change_message", flat=True))


def value(connector) -> str:
    return connector.get().json()["value"]


def test_key__lists_its_earlier_values_with_time_size_and_writer(connector, admin, etags):
    page = text_of(admin.get("keys/key/", **KEY))
    assert len(versions(admin)) == 2
    assert page.count(f">{connector.key_id}</td>") == 5  # and three writes in the audit
    above_the_audit = page.partition("What was done")[0]
    assert [etag[:12] in above_the_audit for etag in etags] == [True, True, False]


def test_version__shows_its_value_and_is_audited_first(connector, admin, etags):
    two, one = versions(admin)
    assert "one" in text_of(admin.post("keys/key/version/", {"version": one}))
    assert audited(connector)[0] == ("read", "delta")
    download = admin.post("keys/key/version/", {"version": two, "download": "yes"})
    assert download.content == b"two"
    assert download["Content-Disposition"] == 'attachment; filename="value.bin"'
    assert audited(connector)[:2] == [("read", "delta")] * 2


def test_version__that_cannot_be_audited_is_not_shown(connector, admin, etags, monkeypatch):
    _, one = versions(admin)

    def full(*args):
        raise Unavailable("Redis is full", code="store_full")

    monkeypatch.setattr(audit, "record_read", full)
    for page in ("keys/key/version/", "keys/key/restore/"):
        response = admin.post(page, {"version": one})
        assert response.status_code == 503
        assert "<pre" not in text_of(response)


def test_version__that_is_gone_says_so(connector, admin, etags):
    for page in ("keys/key/version/", "keys/key/restore/"):
        for wanted in ({}, {"version": "x"}, {"version": "x", "confirm": "yes", "hold": "yes"}):
            response = admin.post(page, wanted)
            assert response.status_code == 400
            assert "not kept any more" in text_of(response)
    assert value(connector) == "three"
    assert not Connector.objects.get().read_only


def test_versions__without_view_values_neither_etags_nor_values_are_shown(connector, etags):
    able = Admin(connector.uuid, "view_keys", "change_keys")
    _, one = versions(able)
    question = ask(able, one)
    response = confirm(able, question)
    pages = [able.get("keys/key/", **KEY), question, response]
    for page in map(text_of, pages):
        assert not any(etag[:12] in page for etag in etags)
        assert "<pre" not in page
    assert response.status_code == 302
    assert value(connector) == "one"
    assert "read" not in dict(audited(connector))


def test_versions__who_may_not_change_keys_has_no_button(connector, etags):
    page = text_of(Admin(connector.uuid, "view_keys", "view_values").get("keys/key/", **KEY))
    assert "Restore…" not in page
    assert "Show" in page


def test_restore__shows_both_values_and_then_writes(connector, admin, etags):
    _, one = versions(admin)
    question = ask(admin, one)
    shown = re.findall(r"<pre[^>]*>\n(.*)</pre>", text_of(question))
    assert shown == ["three", "one"]
    assert audited(connector)[0] == ("read", "delta")
    assert value(connector) == "three"
    response = confirm(admin, question)
    assert response.status_code == 302
    assert value(connector) == "one"
    assert logged() == ["Restored an earlier value of m365 / delta."]
    assert audited(connector)[0] == ("put", "delta")
    assert not Connector.objects.get().read_only
    again = confirm(admin, question)  # a double click
    assert "stored already" in text_of(admin.browser.get(again.url))
    assert len(logged()) == 1


def test_restore__after_another_write_writes_nothing_and_asks_again(connector, admin, etags):
    _, one = versions(admin)
    question = ask(admin, one)
    connector.put("four")
    response = confirm(admin, question)
    assert response.status_code == 409
    assert "Nothing was restored" in text_of(response)
    assert "four" in text_of(response)
    assert (value(connector), logged()) == ("four", [])
    assert confirm(admin, response).status_code == 302
    assert value(connector) == "one"


def test_restore__is_a_compare_and_swap_to_the_last(connector, admin, etags, monkeypatch):
    question = ask(admin, versions(admin)[-1])
    restore = OperatorSession.restore

    def restore_late(session, address, *args):
        store(connector).put(address, b"meanwhile")
        return restore(session, address, *args)

    monkeypatch.setattr(OperatorSession, "restore", restore_late)
    assert confirm(admin, question).status_code == 409
    assert (value(connector), logged()) == ("meanwhile", [])


def test_restore__can_hold_the_writes_until_let_go(connector, admin, etags, monkeypatch):
    waited = []
    monkeypatch.setattr("time.sleep", waited.append)
    question = ask(admin, versions(admin)[-1])
    assert "holds its cursor in memory" in text_of(question)
    assert 'name="hold"' in text_of(question)
    response = confirm(admin, question, hold="yes")
    assert (value(connector), waited) == ("one", [policy.EFFECTIVE_SECONDS])
    assert Connector.objects.get().read_only
    assert logged()[0] == "Held its writes, to restore m365 / delta."
    for page in (response.url, admin.path("change/")):
        assert "writes are held" in text_of(admin.browser.get(page))
    assert 'name="hold"' not in text_of(ask(admin, versions(admin)[0]))
    admin.browser.post(admin.path("let-go/"))
    assert not Connector.objects.get().read_only
    assert logged()[-1] == "Let go of its writes."
    assert "writes are held" not in text_of(admin.get("change/"))
    assert admin.get("let-go/").status_code == 302


def test_restore__a_conflict_keeps_the_writes_held(connector, admin, etags):
    question = ask(admin, versions(admin)[-1])
    connector.put("four")
    response = confirm(admin, question, hold="yes")
    assert response.status_code == 409
    assert Connector.objects.get().read_only
    assert "writes are held" in text_of(response)


def test_restore__holds_nothing_for_who_may_not_change_the_policy(connector, etags):
    admin = Admin(connector.uuid, *ALL)
    question = ask(admin, versions(admin)[-1])
    assert 'name="hold"' not in text_of(question)
    assert "Ask somebody" in text_of(question)
    confirm(admin, question, hold="yes")
    assert value(connector) == "one"
    assert not Connector.objects.get().read_only


def test_restore__a_deleted_key_is_found_and_restored(connector, admin, etags):
    connector.delete()
    assert "Deleted keys" in text_of(admin.get("keys/"))
    (row,) = admin.get("keys/deleted/").context["rows"]
    assert row["deleted"].by == connector.key_id
    page = text_of(admin.browser.get(row["url"]))
    assert "it was deleted, or expired, at" in page
    three, *_ = versions(admin)
    question = ask(admin, three)
    assert "Nothing." in text_of(question)
    assert confirm(admin, question).status_code == 302
    assert value(connector) == "three"
    assert admin.get("keys/deleted/").context["rows"] == []


def test_restore__a_deleted_key_that_exists_again_is_a_conflict(connector, admin, etags):
    connector.delete()
    question = ask(admin, versions(admin)[-1])
    connector.put("new")
    assert confirm(admin, question).status_code == 409
    assert value(connector) == "new"


def test_restore__stays_within_the_quota(connector, admin):
    connector.put("a long value")
    connector.put("v")
    Connector.objects.update(max_bytes=5)
    response = confirm(admin, ask(admin, versions(admin)[0]))
    assert response.status_code == 400
    assert "quota of 5 bytes" in text_of(response)
    assert value(connector) == "v"


def test_versions__that_another_program_wrote(connector, admin):
    connector.put("ours")
    redis = get_redis_connection()
    redis.set(redis_key(connector), b"\xff")
    store(connector).put(Address("m365", "delta"), b"ours again")
    page = text_of(admin.get("keys/key/", **KEY))
    assert "another program" in page
    assert confirm(admin, ask(admin, versions(admin)[0])).status_code == 302
    assert redis.get(redis_key(connector)) == b"\xff"


def test_deleted__pages_through_a_large_history(connector, admin, monkeypatch):
    for number in range(300):
        address = Address("m365", f"k{number}")
        store(connector).put(address, b"v")
        store(connector).delete(address)
    monkeypatch.setattr(history, "SCANNED_AT_ONCE", 10)
    found, page = set(), admin.get("keys/deleted/")
    while True:
        found |= {row["deleted"].address.key for row in page.context["rows"]}
        if not page.context["next_url"]:
            break
        page = admin.browser.get(page.context["next_url"])
    assert found == {f"k{number}" for number in range(300)}
    assert admin.get("keys/deleted/", cursor="x").status_code == 400


@pytest.mark.parametrize("with_history", [True, False])
def test_delete__and_its_history_if_asked(connector, admin, etags, with_history):
    question = admin.post("keys/delete/", KEY)
    assert "and its history" in text_of(question)
    ticked = {"with_history": "yes"} if with_history else {}
    admin.post("keys/delete/", {**dict(question.context["hidden"]), **ticked})
    assert len(versions(admin)) == (0 if with_history else 3)
    assert logged() == [f"Deleted m365 / delta{', with the history' if with_history else ''}."]


def test_connector__shows_the_bytes_of_earlier_values(connector, admin, etags):
    assert re.search(r"Size of earlier values</th><td>6\xa0bytes of", text_of(admin.get("change/")))
