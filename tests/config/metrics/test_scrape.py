"""`/metrics` in one process: who gets it, and what it asks the database."""

import threading

import pytest
from django.test import Client
from prometheus_client import REGISTRY

from config.metrics import scrape
from overview.health.bounded import Question

TOKEN = "a-token-for-metrics"


@pytest.fixture
def token(settings):
    settings.METRICS_TOKEN = TOKEN
    return {"Authorization": f"Bearer {TOKEN}"}


def test_metrics__without_the_setting_there_are_none():
    answer = Client().get("/metrics", headers={"Authorization": "Bearer "})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("given", ["", "Bearer", f"Bearer {TOKEN}x", TOKEN, f"Basic {TOKEN}"])
def test_metrics__are_for_the_token_alone(token, given):
    answer = Client().get("/metrics", headers={"Authorization": given})
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_token")


def test_metrics__are_only_read(token):
    answer = Client().post("/metrics", headers=token)
    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD")


def test_metrics__without_the_database_say_so_and_have_the_rest(token, monkeypatch):
    def fail():
        raise OSError("gone")

    monkeypatch.setattr(scrape, "_turns", Question(fail))
    text = Client().get("/metrics", headers=token).content.decode()
    assert "statekeep_database_up 0.0" in text
    assert "statekeep_waiting_turns" not in text
    assert "statekeep_redis_seconds_count" in text


def test_errors__are_counted_by_code(token):
    def counted():
        return (
            REGISTRY.get_sample_value("statekeep_error_answers_total", {"code": "bad_token"}) or 0
        )

    before = counted()
    Client().get("/metrics")
    assert counted() == before + 1


def test_counted__waits_for_a_file_that_a_worker_is_making(tmp_path):
    file = tmp_path / "counter_0.db"
    file.touch()
    timer = threading.Timer(0.05, lambda: file.write_bytes(bytes(4096)))
    timer.start()
    assert scrape._counted(tmp_path) == b""
    timer.join()
