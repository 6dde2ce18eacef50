"""Metrics, request ids and logs of real servers with two workers."""

import json
import os
import re
import signal
import subprocess
import time
from collections import defaultdict

import jwt
import promql_parser
import pytest
import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests import servers
from tests.connectors import PREFIX
from tests.environment import ENVIRONMENT
from tests.test_servers import Product

DEPLOY = servers.ROOT / "deploy/prometheus"
HEADER = "X-Request-ID"
TOKEN = "a-token-for-metrics"
VALUE_ROUTE = f"{PREFIX}/state/<connector:connector_uuid>/<segment:ns>/<rest:key>"


class Observed(Product):
    """A server whose metrics and logs are looked at, behind one proxy."""

    def start(self) -> None:
        self.environ |= {
            "METRICS_TOKEN": TOKEN,
            "LOG_FORMAT": "json",
            "ACCESS_LOG": "true",
            "TRUSTED_PROXY_COUNT": "1",
            "GRANIAN_RESPAWN_FAILED_WORKERS": "true",
        }
        super().start()

    def get(self, path: str, **headers: str) -> requests.Response:
        return requests.get(f"{self.server.url}{path}", headers=headers, timeout=30)

    def put(self, key: str, **headers: str) -> requests.Response:
        target = f"{PREFIX}/state/{self.connector.uuid}/m365/{key}"
        authorization = self.connector.authorization("PUT", target, b"v")
        headers = {"Authorization": authorization, **headers}
        return requests.put(f"{self.server.url}{target}", data=b"v", headers=headers, timeout=30)

    def chat(self, **headers: str) -> requests.Response:
        claims = {"sub": "alice", "exp": int(time.time()) + 600}
        token = jwt.encode(claims, ENVIRONMENT["JWT_SIGNING_KEY"], "HS256")
        headers = {"Authorization": f"Bearer {token}", **headers}
        url = f"{self.server.url}/api/alice/chat"
        return requests.post(url, json={"message": "hello"}, headers=headers, timeout=60)

    def scrape(self) -> str:
        answer = self.get("/metrics", Authorization=f"Bearer {TOKEN}")
        assert answer.status_code == 200
        return answer.text

    def number(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that have these labels."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.scrape())
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def puts(self) -> float:
        name = "statekeep_requests_total"
        return self.number(name, method="PUT", route=VALUE_ROUTE, status="204")

    def records(self, request_id: str) -> list[dict[str, object]]:
        lines = [line for line in self.server.log.read_text().splitlines() if request_id in line]
        return [json.loads(line) for line in lines]

    def workers(self) -> list[int]:
        found = subprocess.run(
            ["pgrep", "-P", str(self.server.process.pid)], capture_output=True, text=True
        )
        return [int(pid) for pid in found.stdout.split()]


@pytest.fixture(scope="module", params=["granian", "gunicorn"])
def observed(request, tmp_path_factory):
    product = Observed(getattr(servers, request.param), tmp_path_factory.mktemp("m"))
    yield product
    product.stop()


@pytest.mark.parametrize("given", ["", f"Bearer {TOKEN}x", "é"])
def test_metrics__are_for_the_token_alone(observed, given):
    answer = observed.get("/metrics", Authorization=given)
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_token")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_metrics__count_over_all_workers_without_ids_and_keys(observed):
    before = observed.puts()
    for _ in range(20):
        assert observed.put("a-secret-key").status_code == 204  # each on a connection of its own
    servers.wait_until(lambda: observed.puts() == before + 20)
    text = observed.scrape()
    assert "a-secret-key" not in text
    assert observed.connector.uuid not in text
    assert observed.number("statekeep_redis_seconds_count") >= 20
    servers.wait_until(lambda: observed.number("statekeep_workers") == 2, 60)


def test_metrics__of_a_worker_that_was_killed_remain(observed):
    servers.wait_until(lambda: observed.number("statekeep_workers") == 2, 60)
    before = observed.puts()
    for _ in range(10):
        observed.put("k")
    servers.wait_until(lambda: observed.puts() == before + 10)
    old = set(observed.workers())
    os.kill(min(old), signal.SIGKILL)
    servers.wait_until(lambda: len(set(observed.workers()) - old) == 1, 60, "a new worker")
    servers.wait_until(lambda: observed.number("statekeep_workers") == 2, 60)
    assert observed.puts() == before + 10
    locks = {file.name for file in (observed.folder / "metrics").glob("*.lock")}
    # gunicorn may start another worker a moment before the dead one's lock is free.
    assert {"0.lock", "1.lock"} <= locks <= {"0.lock", "1.lock", "2.lock"}


@pytest.mark.parametrize("path", ["/livez", "/admin/login/", "/none", "/api/alice/chat", "/%FF"])
def test_request_id__of_the_proxy_comes_back(observed, path):
    assert observed.get(path, **{HEADER: "Abc-1._"}).headers[HEADER] == "Abc-1._"
    made = observed.get(path, **{HEADER: "not one"}).headers[HEADER]
    assert re.fullmatch("[0-9a-f]{16}-[0-9a-f]+", made)


def test_request_id__of_a_refused_body_and_in_its_log(observed):
    target = f"{PREFIX}/state/{observed.connector.uuid}/m365/k"
    url = f"{observed.server.url}{target}"
    authorization = f"DSX-HMAC key_id=none, ts={int(time.time())}, nonce=AAAA, sig=AAAA"
    headers = {HEADER: "refused-1", "Authorization": authorization}
    answer = requests.put(url, data=b"v" * 100_000, headers=headers, timeout=30)
    assert (answer.status_code, answer.headers[HEADER]) == (401, "refused-1")
    servers.wait_until(lambda: len(observed.records("refused-1")) == 2)
    why, access = observed.records("refused-1")
    assert why["logger"] == "connector_state.api.authentication"
    assert (access["status"], access["route"]) == (401, VALUE_ROUTE)


def test_log__has_who_called_which_route(observed):
    assert observed.put("a-secret-key", **{HEADER: "value-1"}).status_code == 204
    servers.wait_until(lambda: len(observed.records("value-1")) == 1)
    (access,) = observed.records("value-1")
    assert access["duration_ms"] > 0
    assert {name: access[name] for name in ("level", "logger", "method", "route", "status")} == {
        "level": "INFO",
        "logger": "config.access",
        "method": "PUT",
        "route": VALUE_ROUTE,
        "status": 204,
    }
    assert access["connector"] == observed.connector.uuid
    assert "a-secret-key" not in json.dumps(access)


def test_chat__its_stream_has_the_id_and_its_log_the_user(observed):
    headers = {HEADER: "chat-1", "Accept": "text/event-stream"}
    answer = observed.chat(**headers)
    assert "event: done" in answer.text
    assert answer.headers[HEADER] == "chat-1"
    servers.wait_until(lambda: len(observed.records("chat-1")) == 1)
    (access,) = observed.records("chat-1")
    assert (access["user"], access["route"]) == ("alice", "/api/<chat_user:user_id>/chat")
    servers.wait_until(lambda: observed.number("statekeep_turns_total", outcome="answered") == 1)
    assert observed.number("statekeep_database_up") == 1
    assert observed.number("statekeep_waiting_turns") == 0


def expressions():
    """Every expression that is shipped, and where it is."""
    rules = yaml.safe_load((DEPLOY / "statekeep.rules.yml").read_text())
    for rule in rules["groups"][0]["rules"]:
        yield rule["alert"], rule["expr"]
    for panel in json.loads((DEPLOY / "dashboard.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m")


def selectors(node, by=frozenset()):
    """The selectors of a parsed expression, each with the labels that it is grouped by."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node, by
    if modifier := getattr(node, "modifier", None):
        by = by | set(getattr(modifier, "labels", ()))
    children = [getattr(node, name, None) for name in ("lhs", "rhs", "expr", "vector_selector")]
    for child in [*children, *getattr(node, "args", ())]:
        if child is not None:
            yield from selectors(child, by)


def test_expressions__of_alerts_and_dashboard_find_their_series(observed):
    observed.put("k")
    observed.get("/none")
    servers.wait_until(lambda: observed.puts() > 0)
    found = defaultdict(list)
    for family in text_string_to_metric_families(observed.scrape()):
        for sample in family.samples:
            found[sample.name].append(sample.labels)
    found["up"].append({"job": "statekeep"})  # Prometheus' own
    seen = set()
    for where, expression in expressions():
        for selector, by in selectors(promql_parser.parse(expression)):
            series = found[selector.name]
            assert series, f"{where}: no {selector.name}"
            for matcher in selector.matchers.matchers:
                assert all(matcher.name in labels for labels in series), where
                values = {labels[matcher.name] for labels in series}
                if matcher.op == promql_parser.MatchOp.Equal:
                    assert matcher.value in values, where
            assert by <= {*series[0], "instance"}, where
            seen.add(selector.name)
    assert len(seen) > 15
