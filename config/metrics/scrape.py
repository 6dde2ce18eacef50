"""`/metrics`: what all workers have counted, and what only the database knows."""

import hmac
import logging
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.db.models import Count, Min
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from chat.models import Turn
from config.errors.answers import error_response
from config.metrics import shared, slots
from overview.health.bounded import Question

logger = logging.getLogger(__name__)

DATABASE_SECONDS = 1.5
NEW_FILE_TRIES, NEW_FILE_SECONDS = 20, 0.02


def metrics(request: HttpRequest) -> HttpResponse:
    """Return the metrics in Prometheus' text format, to whoever has METRICS_TOKEN."""
    if not settings.METRICS_TOKEN:
        raise Http404
    if request.method not in ("GET", "HEAD"):
        detail = f'Method "{request.method}" not allowed.'
        return error_response(405, "method_not_allowed", detail, {"Allow": "GET, HEAD"})
    expected = f"Bearer {settings.METRICS_TOKEN}"
    given = request.META.get("HTTP_AUTHORIZATION", "")
    if not hmac.compare_digest(given.encode(), expected.encode()):
        challenge = {"WWW-Authenticate": 'Bearer realm="metrics"'}
        return error_response(401, "bad_token", "Send METRICS_TOKEN as a Bearer token.", challenge)
    return HttpResponse(_gather(), content_type=CONTENT_TYPE_LATEST)


def _gather() -> bytes:
    registry = CollectorRegistry()
    registry.register(_Waiting())
    found = generate_latest(registry)
    if shared.folder is None:
        return found + generate_latest()
    shared.flush()
    slots.forget_dead(shared.folder)
    return found + _counted(shared.folder)


def _counted(folder: Path) -> bytes:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    for _ in range(NEW_FILE_TRIES):
        try:
            return generate_latest(registry)
        except struct.error:  # a worker is making its file, which is empty for a moment
            time.sleep(NEW_FILE_SECONDS)
    return generate_latest(registry)


class _Waiting(Collector):
    """Turns that wait for the conversation store; nothing of them where the database is silent."""

    def collect(self) -> Iterator[Metric]:
        outcome = _turns.begin()(time.monotonic() + DATABASE_SECONDS)
        yield _gauge(
            "database_up", "Whether the database answered this scrape.", outcome.value is not None
        )
        if outcome.value is None:
            logger.warning("metrics: the database did not answer: %r", outcome.error)
            return
        waiting, oldest_seconds, dead_letters = outcome.value
        yield _gauge("waiting_turns", "Turns not yet in the conversation store.", waiting)
        yield _gauge("oldest_waiting_turn_seconds", "Age of the oldest of them.", oldest_seconds)
        yield _gauge("dead_letters", "Turns that the store refuses for good.", dead_letters)


def _ask() -> tuple[int, float, int]:
    waiting = Turn.objects.waiting().order_by()
    found = waiting.aggregate(number=Count("pk"), oldest=Min("accepted_at"))
    age = (timezone.now() - found["oldest"]).total_seconds() if found["oldest"] else 0.0
    return found["number"], max(0.0, age), Turn.objects.dead_letters().count()


_turns = Question(_ask)


def _gauge(name: str, description: str, value: float) -> Metric:
    return GaugeMetricFamily(f"statekeep_{name}", description, value=float(value))
