"""check_stores --notify: what changed, until it is taken, by one process."""

import json
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from overview.health.alerts import notify
from overview.health.probes import Health
from overview.models import AlertState
from tests.outages import AWAY

pytestmark = pytest.mark.django_db(transaction=True)
SECRET = "the-secret-part"


class Webhook:
    """Remembers what it is sent; `status` is its answer."""

    def __init__(self) -> None:
        self.got: list[dict] = []
        self.paths: list[str] = []
        self.status = 200
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                webhook.paths.append(self.path)
                webhook.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(webhook.status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *arguments: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/{SECRET}"

    def told(self) -> list[str]:
        """The texts since the last call."""
        texts, self.got = [body["text"] for body in self.got], []
        return texts


@pytest.fixture
def webhook(settings):
    webhook = Webhook()
    settings.ALERT_WEBHOOK_URL = webhook.url
    yield webhook
    webhook.server.shutdown()
    webhook.server.server_close()


def found(**states: str) -> list[Health]:
    states = {"database": "ok", "redis": "ok", **states}
    return [Health(name, name.title(), state, "of alice", (), 1) for name, state in states.items()]


def test_notify__tells_what_changed_once(webhook):
    assert notify(found())
    assert webhook.told() == []
    for _ in range(2):
        assert notify(found(redis="failed"))
    assert webhook.got == [
        {
            "text": "Statekeep: Redis: failed (was ok)",
            "changes": [{"check": "redis", "was": "ok", "now": "failed"}],
        }
    ]
    webhook.told()
    assert notify(found(model="warning"))
    assert webhook.told() == ["Statekeep: Model: warning (was ok); Redis: ok (was failed)"]


@pytest.mark.parametrize("status", [302, 404, 500])
def test_notify__again_until_it_is_taken(webhook, caplog, status):
    webhook.status = status
    assert not notify(found(redis="failed"))
    assert not notify(found(redis="failed"))
    webhook.status = 204
    assert notify(found(redis="failed"))
    assert len(webhook.told()) == 3
    assert set(webhook.paths) == {f"/{SECRET}"}
    assert f"127.0.0.1 did not take an alert: {status}" in caplog.text
    assert SECRET not in caplog.text


def test_notify__nobody_listens(webhook, settings, caplog):
    settings.ALERT_WEBHOOK_URL = f"http://127.0.0.1:{AWAY}/{SECRET}"
    assert not notify(found(redis="failed"))
    assert "did not take an alert: ConnectionError" in caplog.text
    assert SECRET not in caplog.text


def test_notify__one_process_tells(webhook):
    AlertState.objects.create(pk=1)
    first, second = AlertState.objects.get(), AlertState.objects.get()
    soon = timezone.now() + timedelta(seconds=60)
    assert first.claim(soon)
    assert not second.claim(soon)
    assert notify(found(redis="failed"))  # somebody else is telling it
    assert webhook.told() == []
    AlertState.objects.update(claimed_until=timezone.now())  # that process has died
    assert notify(found(redis="failed"))
    assert len(webhook.told()) == 1
    first.release({})  # it comes back, too late
    assert AlertState.objects.get().told == {"redis": "failed"}


def test_notify__the_database_itself(webhook):
    for _ in range(2):
        assert notify(found(database="failed"))
    assert webhook.told() == ["Statekeep: Database: failed (was ok)"]
    for _ in range(2):
        assert notify(found())
    assert webhook.told() == ["Statekeep: Database: ok (was failed)"]


def test_command__needs_an_address_and_fails_when_nobody_takes_it(webhook, settings):
    webhook.status = 500
    with pytest.raises(CommandError, match="the webhook of alerts"):
        call_command("check_stores", "--notify", stdout=StringIO())
    webhook.status = 200
    call_command("check_stores", "--notify", stdout=StringIO())
    assert "alice" not in str(webhook.got)
    settings.ALERT_WEBHOOK_URL = ""
    with pytest.raises(CommandError, match="--notify needs ALERT_WEBHOOK_URL"):
        call_command("check_stores", "--notify")
