"""Liveness and readiness, for whatever runs the process. No credentials needed."""

import logging

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe
from django_redis import get_redis_connection
from redis.exceptions import RedisError

from connector_state.credentials import live
from connector_state.store import redis_checks
from overview import probes

logger = logging.getLogger(__name__)

NEEDED = (probes.REDIS, probes.DATABASE)


@require_safe
def livez(request: HttpRequest) -> JsonResponse:
    """200: this process serves."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when Redis and the database answer, else 503 naming what does not.

    The conversation store is reported only: without it chats are answered degraded. With
    `?for=state` nor is the database needed for as long as known connectors are served without it.
    """
    found = {h.name: h.answers for h in probes.examine((*NEEDED, probes.CONVERSATIONS))}
    missing = {probe.name for probe in NEEDED if not found[probe.name]}
    if request.GET.get("for") == "state" and live.are_known_ones_served():
        missing.discard(probes.DATABASE.name)
    return JsonResponse(
        {
            "status": "unready" if missing else "ready",
            **{name: "ok" if answers else "does not answer" for name, answers in found.items()},
        },
        status=503 if missing else 200,
    )


def report_redis_problems() -> None:
    """Log, at a worker's start, what is wrong with the Redis that it is to use."""
    try:
        found = redis_checks.examine(get_redis_connection())
        for problem in (*found.dangers, *found.problems):
            logger.warning("Redis: %s", problem)
    except redis_checks.UnfitRedis as error:
        logger.critical("Redis: %s", error)
    except RedisError as error:
        logger.error("Redis does not answer yet: %s", error)
