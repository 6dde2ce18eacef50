"""Liveness, readiness, and a Redis that is not fit."""

import pytest
from django.db import DatabaseError
from django.test import Client
from django_redis import get_redis_connection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from config import health
from connector_state.redis_server import checks, trial
from overview.health import probes
from overview.health.probes import Probe
from tests.connectors import SigningConnector

pytestmark = pytest.mark.django_db

GOOD = {"redis_version": "7.2.4", "cluster_enabled": 0, "aof_enabled": 1}


@pytest.fixture
def connector() -> SigningConnector:
    return SigningConnector.create()


class FakeRedis:
    """The Redis of the tests, which says other things of itself."""

    def __init__(self, save: str | None = "3600 1", **info: object) -> None:
        self._save, self._info = save, {**GOOD, **info}
        self.connection_pool = get_redis_connection().connection_pool

    def info(self) -> dict[str, object]:
        return self._info

    def config_get(self, name: str) -> dict[str, str]:
        if self._save is None:
            raise ResponseError("unknown command 'CONFIG'")
        return {name: {"save": self._save, "appendfsync": "always"}[name]}


def test_livez__needs_nothing(client, monkeypatch):
    monkeypatch.setattr(health, "NEEDED", ())
    response = client.get("/livez")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_readyz__ready(client):
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {
        "status": "ready",
        "redis": "ok",
        "database": "ok",
        "conversations": "ok",
    }


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("redis", RedisConnectionError("refused"), "does not answer"),
        ("database", DatabaseError("gone"), "does not answer"),
        ("redis", checks.UnfitRedis("a cluster"), "can't be used"),
    ],
)
def test_readyz__names_what_does_not_serve(client, monkeypatch, name, error, words):
    def fail() -> None:
        raise error

    needed = {probe.name: probe for probe in health.NEEDED} | {name: Probe(name, name, fail)}
    monkeypatch.setattr(health, "NEEDED", tuple(needed.values()))
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["status"] == "unready"
    assert response.json()[name] == words


@pytest.mark.parametrize(
    ("away", "known", "status"),
    [(probes.DATABASE, True, 200), (probes.DATABASE, False, 503), (probes.REDIS, True, 503)],
)
def test_readyz__for_state_does_without_the_database_while_known_ones_are_served(
    client, connector, monkeypatch, away, known, status
):
    def fail() -> None:
        raise DatabaseError("gone")

    if known:
        connector.get()
    needed = {probe.name: probe for probe in health.NEEDED}
    needed[away.name] = Probe(away.name, away.name, fail)
    monkeypatch.setattr(health, "NEEDED", tuple(needed.values()))
    response = client.get("/readyz?for=state")
    assert response.status_code == status
    assert response.json()[away.name] == "does not answer"
    assert client.get("/readyz").status_code == 503


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_health__other_methods_are_405_and_no_matter_of_csrf(path):
    response = Client(enforce_csrf_checks=True).post(path)
    assert response.status_code == 405


def test_fitness__a_good_one():
    words = "7.2.4, noeviction, append-only file on"
    assert checks.examine(FakeRedis()) == checks.Finding(f"Redis {words}")
    assert checks.examine(FakeRedis(valkey_version="7.2.4")).description == f"Valkey {words}"


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_fitness__eviction_is_a_danger(policy):
    found = checks.examine(FakeRedis(maxmemory_policy=policy))
    (danger,) = found.dangers
    assert policy in danger
    assert found.description == f"Redis 7.2.4, {policy}, append-only file on"
    assert not found.problems


def test_fitness__nothing_on_disk_is_a_danger():
    found = checks.examine(FakeRedis(aof_enabled=0, save=""))
    (danger,) = found.dangers
    assert "a restart loses everything" in danger
    assert found.description.endswith("nothing on disk")
    assert not found.problems


@pytest.mark.parametrize(
    ("save", "words"), [("3600 1", "snapshots only"), (None, "append-only file off")]
)
def test_fitness__snapshots_without_an_append_only_file_are_a_problem(save, words):
    found = checks.examine(FakeRedis(aof_enabled=0, save=save))
    (problem,) = found.problems
    assert "appendonly yes" in problem
    assert found.description.endswith(words)
    assert not found.dangers


def test_readyz__an_evicting_redis_serves(client, monkeypatch):
    redis = FakeRedis(maxmemory_policy="allkeys-lru", aof_enabled=0, save="")
    monkeypatch.setattr("connector_state.redis_server.trial.get_redis_connection", lambda: redis)
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"aof_last_write_status": "err"}, "append-only file can't be written"),
        ({"rdb_last_bgsave_status": "err"}, "snapshot could not be written"),
        ({"role": "slave"}, "replica"),
        ({"maxmemory": 1000, "used_memory": 1000}, "It is full"),
    ],
)
def test_fitness__what_refuses_writes_is_a_danger(info, words):
    found = checks.examine(FakeRedis(**info))
    (danger,) = found.dangers
    assert words in danger
    assert not found.problems


def test_fitness__what_will_refuse_writes_is_a_problem():
    found = checks.examine(FakeRedis(maxmemory=1000, used_memory=950))
    (problem,) = found.problems
    assert "95% of maxmemory" in problem
    assert not found.dangers


@pytest.mark.parametrize(
    "info", [{"cluster_enabled": 1}, {"redis_version": "6.0.16"}, {"loading": 1}]
)
def test_fitness__a_cluster_an_old_one_and_one_that_is_loading_are_unfit(info):
    with pytest.raises(checks.UnfitRedis):
        checks.examine(FakeRedis(**info))


def test_start__reports_problems_and_never_fails(monkeypatch, caplog):
    for redis, words in (
        (FakeRedis(aof_enabled=0), "append-only"),
        (FakeRedis(maxmemory_policy="allkeys-lru"), "allkeys-lru"),
        (FakeRedis(cluster_enabled=1), "Cluster is not supported"),
    ):
        monkeypatch.setattr(trial, "get_redis_connection", lambda redis=redis: redis)
        health.report_redis_problems()
        assert words in caplog.text
