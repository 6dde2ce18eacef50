"""Enrolment, as real connectors call it, and what an enrolment token can not do."""

import json
import threading
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from connector_state.credentials import enrolment
from connector_state.models import OFFLINE, Connector, Credential, EnrolmentChange
from tests.connectors import PREFIX, SigningConnector

UUID = "3f8e0c8e-6f0a-4c8e-9a52-2f1d6c7b9e11"
REGISTER = f"{PREFIX}/register"
TOKEN = {"HTTP_X_ENROLLMENT_TOKEN": "enrol-me"}
BLUE = {"HTTP_X_ENROLLMENT_TOKEN": "blue-token"}

pytestmark = pytest.mark.django_db


def register(client, headers=TOKEN, **fields):
    body = {"name": "m365", "uuid": UUID, "url": "http://connector:8080", **fields}
    return client.generic("POST", REGISTER, json.dumps(body), "application/json", **headers)


def unregister(client, uuid=UUID, **headers):
    return client.generic("DELETE", f"{PREFIX}/unregister/{uuid}", **headers)


def code_of(response):
    body = json.loads(response.content)
    assert set(body) == {"detail", "code"}
    return response.status_code, body["code"]


def signer(response):
    body = response.json()
    return SigningConnector(body["connector_uuid"], body["hmac_key_id"], body["hmac_secret"])


def test_register__the_first_time_201_and_afterwards_200_with_the_same_credential(client):
    first, second = register(client), register(client)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == {
        "status": "success",
        "message": "registered",
        "description": f"connector {UUID}",
        "connector_uuid": UUID,
        "hmac_key_id": first.json()["hmac_key_id"],
        "hmac_secret": first.json()["hmac_secret"],
    }
    assert second.json() == {**first.json(), "message": "refreshed"}
    assert first["Cache-Control"] == second["Cache-Control"] == "no-store"


def test_register__a_connectors_whole_life(client):
    connector = signer(register(client))
    assert connector.put("cursor-1").status_code == 204
    assert register(client).status_code == 200  # heartbeat
    response = connector.call("DELETE", f"{PREFIX}/unregister/{UUID}")
    assert response.status_code == 204
    assert Connector.objects.get().offline_at is not None
    assert connector.put("cursor-2").status_code == 204  # its own shutdown handlers run later
    restarted = signer(register(client))
    assert restarted.get().json() == {"value": "cursor-2"}
    assert Connector.objects.get().offline_at is None


def test_register__without_a_uuid_makes_one(client):
    body = json.dumps({"name": "n", "url": "http://x"})
    response = client.generic("POST", REGISTER, body, "application/json", **TOKEN)
    assert response.status_code == 201
    assert signer(response).put("v").status_code == 204


def test_register__tolerates_unknown_fields_and_a_bearer_token(client):
    headers = {"HTTP_AUTHORIZATION": "Bearer enrol-me"}
    response = register(client, headers, meta_info="x", status={"a": 1}, filter=None, asset=[1])
    assert response.status_code == 201


def test_register__an_upper_case_uuid_is_the_same_connector(client):
    register(client)
    assert register(client, uuid=UUID.upper()).status_code == 200


@pytest.mark.parametrize("token", ["wrong", "enrol-me-", "blue", "blue:", ":"])
def test_register__wrong_token_is_401(client, token):
    response = register(client, {"HTTP_X_ENROLLMENT_TOKEN": token})
    assert code_of(response) == (401, "bad_enrolment_token")
    assert response["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("empty", ["", " "])
def test_register__an_empty_header_is_none(client, empty):
    headers = {"HTTP_X_ENROLLMENT_TOKEN": empty}
    assert code_of(register(client, headers)) == (401, "not_authenticated")
    headers["HTTP_AUTHORIZATION"] = "Bearer enrol-me"
    connector = signer(register(client, headers))
    path = f"{PREFIX}/unregister/{UUID}"
    signed = connector.call("DELETE", path, HTTP_X_ENROLLMENT_TOKEN=empty)
    assert signed.status_code == 204
    assert unregister(client, **headers).status_code == 204
    assert code_of(unregister(client, HTTP_X_ENROLLMENT_TOKEN=empty)) == (401, "not_authenticated")
    wrong = {**headers, "HTTP_X_ENROLLMENT_TOKEN": "wrong"}
    assert code_of(register(client, wrong)) == (401, "bad_enrolment_token")


def test_register__no_token_is_401(client):
    assert code_of(register(client, {})) == (401, "not_authenticated")


@pytest.mark.in_process("changes a setting")
def test_register__several_tokens_and_the_whole_entry_are_good(client, settings):
    settings.ENROLLMENT_TOKENS = ["old", "new"]
    for token in ("old", "new"):
        assert register(client, {"HTTP_X_ENROLLMENT_TOKEN": token}).status_code in (200, 201)
    settings.ENROLLMENT_TOKENS = ["blue:token"]
    response = register(client, {"HTTP_X_ENROLLMENT_TOKEN": "blue:token"}, uuid=str(uuid4()))
    assert response.status_code == 201


@pytest.mark.in_process("changes a setting")
def test_register__off_without_tokens(client, settings):
    settings.ENROLLMENT_TOKENS = []
    assert code_of(register(client)) == (403, "enrolment_off")
    assert code_of(register(client, {})) == (403, "enrolment_off")
    assert code_of(unregister(client, **TOKEN)) == (403, "enrolment_off")


def test_register__never_hands_out_the_secret_of_a_connector_an_operator_created(client):
    connector = SigningConnector.create()
    response = register(client, uuid=connector.uuid)
    assert code_of(response) == (403, "not_enrolled")
    assert connector.secret not in response.content.decode()


def test_register__a_token_works_inside_its_group_alone(client):
    register(client)
    assert code_of(register(client, BLUE)) == (403, "not_enrolled")
    assert unregister(client, **BLUE).status_code == 204
    assert Connector.objects.get().offline_at is None


def rows(uuid):
    return Connector.objects.filter(uuid=uuid).values().get()


def test_register__a_connector_that_an_operator_made_for_the_group_goes_on(client):
    connector = SigningConnector.create(heartbeat_group="blue")
    before = rows(connector.uuid)
    response = register(client, BLUE, uuid=connector.uuid)
    assert response.status_code == 200
    assert response.json() == {
        "status": "success",
        "message": "refreshed",
        "description": f"connector {connector.uuid}",
        "connector_uuid": connector.uuid,
    }
    after = rows(connector.uuid)
    assert {field for field in after if after[field] != before[field]} == {"last_seen_at"}
    assert not EnrolmentChange.objects.exists()
    assert code_of(register(client, uuid=connector.uuid)) == (403, "not_enrolled")


@pytest.mark.parametrize("why", ["disabled", "revoked"])
def test_register__such_a_connector_is_refused_as_before_if_it_can_not_go_on(client, why):
    connector = SigningConnector.create(heartbeat_group="blue")
    if why == "disabled":
        Connector.objects.update(enabled=False)
    else:
        Credential.objects.update(revoked_at=timezone.now())
    before = rows(connector.uuid)
    assert code_of(register(client, BLUE, uuid=connector.uuid)) == (403, "not_enrolled")
    assert rows(connector.uuid) == before


def test_register__such_a_connector_is_online_again_after_a_shutdown(client):
    connector = SigningConnector.create(heartbeat_group="blue")
    register(client, BLUE, uuid=connector.uuid)
    path = f"{PREFIX}/unregister/{connector.uuid}"
    assert connector.call("DELETE", path).status_code == 204
    assert Connector.objects.get().status == "offline"
    register(client, BLUE, uuid=connector.uuid)
    assert Connector.objects.get().status == "enabled"
    assert not Connector.objects.filter(OFFLINE).exists()


def test_register__a_disabled_connector_is_403_until_it_is_enabled(client):
    register(client)
    Connector.objects.update(enabled=False)
    assert code_of(register(client)) == (403, "connector_disabled")
    Connector.objects.update(enabled=True)
    assert register(client).status_code == 200


def test_register__without_a_live_credential_is_403(client):
    register(client)
    Credential.objects.update(revoked_at=timezone.now())
    assert code_of(register(client)) == (403, "no_live_credential")


def test_register__records_what_changed(client):
    register(client)
    register(client, url="http://elsewhere", name="renamed")
    changes = {(c.field, c.before, c.after) for c in EnrolmentChange.objects.all()}
    assert changes == {
        ("url", "http://connector:8080", "http://elsewhere"),
        ("name", "m365", "renamed"),
    }


@pytest.mark.in_process("replaces a function")
def test_register__keeps_a_bounded_number_of_changes(client, monkeypatch):
    monkeypatch.setattr(enrolment, "CHANGES_KEPT", 5)
    for number in range(10):
        register(client, url=f"http://x/{number}")
    assert [c.after for c in EnrolmentChange.objects.all()] == [
        f"http://x/{number}" for number in (9, 8, 7, 6, 5)
    ]


@pytest.mark.in_process("changes a setting")
def test_register__behind_a_proxy_the_address_is_the_one_the_proxy_saw(client, settings):
    settings.TRUSTED_PROXY_COUNT = 1
    register(client, {**TOKEN, "HTTP_X_FORWARDED_FOR": "6.6.6.6, 10.0.0.7"})
    assert Connector.objects.get().peer_address == "10.0.0.7"


@pytest.mark.in_process("changes a setting")
def test_register__number_is_limited(client, settings):
    settings.ENROLLMENT_MAX_CONNECTORS = 1
    register(client)
    assert code_of(register(client, uuid=str(uuid4()))) == (403, "enrolment_full")
    assert register(client).status_code == 200


@pytest.mark.in_process("changes a setting")
def test_register__rate_of_new_ones_is_limited_and_heartbeats_are_not(client, settings):
    settings.ENROLLMENT_NEW_PER_MINUTE = 2
    register(client)
    register(client, uuid=str(uuid4()))
    refused = register(client, uuid=str(uuid4()))
    assert code_of(refused) == (429, "rate_limited")
    assert refused["Retry-After"] == "60"
    assert register(client).status_code == 200


@pytest.mark.parametrize(
    ("code", "body"),
    [
        ("invalid_json", b""),
        ("invalid_json", b"{"),
        ("invalid_json", b"[" * 60_000),
        ("invalid_json", b"\xff"),
        ("invalid_registration", b"[]"),
        ("invalid_registration", b"null"),
        ("invalid_registration", b"{}"),
        ("invalid_registration", b'{"name": "n"}'),
        ("invalid_registration", b'{"name": 1, "url": "u"}'),
        ("invalid_registration", b'{"name": " ", "url": "u"}'),
        ("invalid_registration", b'{"name": "a\\u0000b", "url": "u"}'),
        ("invalid_registration", b'{"name": "a\\ud800b", "url": "u"}'),
        ("invalid_registration", b'{"name": "n", "url": "u", "uuid": "x"}'),
        ("invalid_registration", b'{"name": "n", "url": "u", "uuid": 3}'),
        ("invalid_registration", b'{"name": "' + b"n" * 256 + b'", "url": "u"}'),
    ],
)
def test_register__bad_body_is_400(client, code, body):
    response = client.generic("POST", REGISTER, body, "application/json", **TOKEN)
    assert code_of(response) == (400, code)
    assert not Connector.objects.exists()


def test_register__oversized_is_413_and_chunked_411(client):
    response = client.generic("POST", REGISTER, b"x" * 70_000, "application/json", **TOKEN)
    assert code_of(response) == (413, "value_too_large")
    chunked = register(client, {**TOKEN, "HTTP_TRANSFER_ENCODING": "chunked"})
    assert code_of(chunked) == (411, "length_required")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
def test_register__another_method_is_405(client, method):
    response = client.generic(method, REGISTER)
    assert code_of(response) == (405, "method_not_allowed")
    assert response["Allow"] == "POST"


def test_unregister__by_token_and_by_signature_and_by_nobody_else(client):
    connector = signer(register(client))
    stranger = SigningConnector.create()
    path = f"{PREFIX}/unregister/{UUID}"
    assert code_of(unregister(client)) == (401, "not_authenticated")
    assert code_of(unregister(client, HTTP_X_ENROLLMENT_TOKEN="x")) == (401, "bad_enrolment_token")
    assert code_of(stranger.call("DELETE", path)) == (403, "other_connector")
    assert Connector.objects.get(uuid=UUID).offline_at is None
    assert connector.call("DELETE", path).status_code == 204
    assert unregister(client, **TOKEN).status_code == 204
    assert unregister(client, uuid=str(uuid4()), **TOKEN).status_code == 204
    assert Credential.objects.live().filter(connector_id=UUID).count() == 1


def test_unregister__by_token_does_not_tell_which_connectors_exist(client):
    register(client)
    by_hand = SigningConnector.create(heartbeat_group="blue")
    uuids = (str(uuid4()), UUID, by_hand.uuid)
    answers = [unregister(client, uuid=uuid, **BLUE) for uuid in uuids]
    for answer in answers:
        del answer.headers["X-Request-ID"]  # each request has another
    assert len({(a.status_code, a.content, str(a.headers)) for a in answers}) == 1
    assert not Connector.objects.exclude(offline_at=None).exists()


def test_unregister__can_not_be_replayed(client):
    connector = signer(register(client))
    path = f"{PREFIX}/unregister/{UUID}"
    authorization = connector.authorization("DELETE", path)
    assert connector.send("DELETE", path, b"", authorization).status_code == 204
    assert code_of(connector.send("DELETE", path, b"", authorization)) == (401, "replayed")


@pytest.mark.django_db(transaction=True)
def test_register__the_same_uuid_at_once_makes_one_connector(client):
    statuses = []

    def call():
        statuses.append(register(client).status_code)
        connection.close()

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 7 + [201]
    assert Credential.objects.count() == 1
