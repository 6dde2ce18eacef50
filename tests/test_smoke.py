import pytest


@pytest.mark.django_db
def test_ready(client):
    assert client.get("/readyz").json()["redis"] == "ok"
