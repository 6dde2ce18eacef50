"""The conversation store in /readyz: reported, and no reason for unreadiness."""

import pytest

pytestmark = pytest.mark.django_db


def test_readyz__reports_the_conversation_store(client):
    assert client.get("/readyz").json()["conversations"] == "ok"


def test_readyz__is_ready_without_it(client, settings):
    settings.CHAT_STATE_STORE = "dapr"
    settings.DAPR_ENDPOINT = "http://127.0.0.1:9"
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["conversations"] == "does not answer"
