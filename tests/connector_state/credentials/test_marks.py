"""Marks in Redis, by which a revocation and a disabled connector hold at once."""

import pytest
from django.contrib.messages import get_messages
from django.core.management import call_command
from django_redis import get_redis_connection

from connector_state.credentials import marks
from connector_state.models import Connector, Credential
from connector_state.store.keys import connector_keys

pytestmark = pytest.mark.django_db


def marked(connector) -> set[bytes]:
    return set(get_redis_connection().hkeys(connector_keys(connector.uuid).revoked))


def page_of(connector, tail: str) -> str:
    return f"/admin/connector_state/connector/{connector.uuid}/{tail}"


def revoke_by_command(connector, admin_client) -> None:
    call_command("revoke_credential", connector.key_id)


def revoke_by_page(connector, admin_client) -> None:
    pk = Credential.objects.get(key_id=connector.key_id).pk
    admin_client.post(page_of(connector, f"credentials/{pk}/revoke/"))


@pytest.mark.parametrize("revoke", [revoke_by_command, revoke_by_page])
def test_revoked__credential_is_marked_for_longer_than_any_worker_bridges(
    connector, admin_client, revoke, capsys
):
    revoke(connector, admin_client)
    assert marked(connector) == {connector.key_id.encode()}
    ttl = get_redis_connection().ttl(connector_keys(connector.uuid).revoked)
    assert marks.MARK_SECONDS - 60 < ttl <= marks.MARK_SECONDS


def rotate_by_command(connector, admin_client, hours: int) -> None:
    call_command("rotate_credential", connector.uuid, "--overlap", f"{hours}h")


def rotate_by_page(connector, admin_client, hours: int) -> None:
    url = page_of(connector, "credentials/rotate/")
    token = admin_client.get(url).context["token"]
    form = {"overlap_hours": hours, "expires_in_days": "", "token": token}
    assert admin_client.post(url, form).status_code == 200


@pytest.mark.parametrize("rotate", [rotate_by_command, rotate_by_page])
def test_rotated__without_an_overlap_the_others_are_marked(connector, admin_client, rotate, capsys):
    rotate(connector, admin_client, 1)
    assert marked(connector) == set()
    others = {key_id.encode() for key_id in Credential.objects.values_list("key_id", flat=True)}
    rotate(connector, admin_client, 0)
    assert marked(connector) == others
    newest = Credential.objects.latest("pk").key_id.encode()
    assert newest not in others


def test_rotated__without_an_overlap_and_redis_away_the_operator_is_told(
    connector, admin_client, cut_redis, capsys
):
    url = page_of(connector, "credentials/rotate/")
    token = admin_client.get(url).context["token"]
    cut_redis()
    response = admin_client.post(url, {"overlap_hours": 0, "token": token})
    assert "Redis did not answer" in response.content.decode()
    rotate_by_command(connector, admin_client, 0)
    assert "Redis did not answer" in capsys.readouterr().err
    assert Credential.objects.live().count() == 1


def disable_by_command(connector, admin_client, enabled: bool) -> None:
    call_command("set_policy", connector.uuid, "--enabled" if enabled else "--no-enabled")


def disable_by_page(connector, admin_client, enabled: bool) -> None:
    admin_client.post(page_of(connector, "enable/" if enabled else "disable/"))


@pytest.mark.parametrize("disable", [disable_by_command, disable_by_page])
def test_disabled__connector_is_marked_until_it_is_enabled(
    connector, admin_client, disable, capsys, django_capture_on_commit_callbacks
):
    call_command("revoke_credential", connector.key_id)
    for enabled, expected in ((False, {b"*", connector.key_id.encode()}), (True, set())):
        with django_capture_on_commit_callbacks(execute=True):
            disable(connector, admin_client, enabled)
        assert Connector.objects.get(pk=connector.uuid).enabled == enabled
        assert marked(connector) == expected | {connector.key_id.encode()}


def test_disabled__while_another_operator_enables_it_ends_as_the_database_says(
    connector, monkeypatch
):
    """The other one writes to both stores between our reading the one and writing the other."""
    Connector.objects.update(enabled=False)
    mark = marks._mark

    def enable_before(*args: object) -> None:
        monkeypatch.setattr(marks, "_mark", mark)
        Connector.objects.update(enabled=True)
        marks.mark_enabled(connector.uuid, pytest.fail)
        mark(*args)

    monkeypatch.setattr(marks, "_mark", enable_before)
    marks.mark_enabled(connector.uuid, pytest.fail)
    assert marked(connector) == set()


def test_redis_away__the_change_stands_and_the_operator_is_told(connector, redis_away, capsys):
    call_command("revoke_credential", connector.key_id)
    assert "Redis did not answer" in capsys.readouterr().err
    assert Credential.objects.get().revoked_at is not None
    call_command("set_policy", connector.uuid, "--no-enabled")
    assert "Redis did not answer" in capsys.readouterr().err
    assert not Connector.objects.get().enabled


@pytest.mark.parametrize("tail", ["disable/", "credentials/{}/revoke/"])
def test_redis_away__admin_says_so(connector, admin_client, cut_redis, tail):
    pk = Credential.objects.get().pk
    cut_redis()
    response = admin_client.post(page_of(connector, tail.format(pk)))
    assert response.status_code == 302
    warning, success = get_messages(response.wsgi_request)
    assert "Redis did not answer" in str(warning)
    assert success.level_tag == "success"
