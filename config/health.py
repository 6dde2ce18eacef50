"""Liveness and readiness, for supervisors and load balancers; they need no credentials."""

import logging

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe
from django_redis import get_redis_connection
from redis.exceptions import RedisError

from connector_state import redis_checks, redis_trial
from connector_state.credentials import live
from overview import probes

logger = logging.getLogger(__name__)

NEEDED = (probes.REDIS, probes.DATABASE)


@require_safe
def livez(request: HttpRequest) -> JsonResponse:
    """Return a 200, as this process serves."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Return a 200 if Redis and the database answer, else a 503 that names what does not.

    The conversation store is only reported: without it chats are answered degraded. With
    `?for=state` the database is not needed either, as long as known connectors are served.
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
    """Log what is wrong with Redis, when a worker starts."""
    try:
        found = redis_trial.examine(get_redis_connection())
        for problem in (*found.dangers, *found.problems):
            logger.warning("Redis: %s", problem)
    except redis_checks.UnfitRedis as error:
        logger.critical("Redis: %s", error)
    except RedisError as error:
        logger.error("Redis does not answer yet: %s", error)
