"""Liveness and readiness, for whatever runs the process. No credentials needed."""

import logging
import time
from collections.abc import Callable

from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe
from django_redis import get_redis_connection
from redis.exceptions import RedisError

from chat.repository import conversation_repository
from connector_state import fitness

logger = logging.getLogger(__name__)

STORE_SECONDS = 1.0


@require_safe
def livez(request: HttpRequest) -> JsonResponse:
    """200: this process serves."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when Redis and the database answer, else 503 naming what does not.

    The conversation store is reported only: without it chats are answered degraded.
    """
    results = {name: _answers(name, probe) for name, probe in PROBES.items()}
    ready = all(results.values())
    results["conversations"] = _answers("conversations", _ask_conversation_store)
    return JsonResponse(
        {
            "status": "ready" if ready else "unready",
            **{name: "ok" if ok else "does not answer" for name, ok in results.items()},
        },
        status=200 if ready else 503,
    )


def _examine_redis() -> None:
    fitness.examine(get_redis_connection())


def _query_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _ask_conversation_store() -> None:
    conversation_repository().check(time.monotonic() + STORE_SECONDS)


PROBES: dict[str, Callable[[], None]] = {"redis": _examine_redis, "database": _query_database}


def _answers(name: str, probe: Callable[[], None]) -> bool:
    try:
        probe()
    except Exception as error:  # whatever the reason, it does not answer
        logger.warning("readyz: %s does not answer: %r", name, error)
        return False
    return True


def report_redis_problems() -> None:
    """Log, at a worker's start, what is wrong with the Redis that it is to use."""
    try:
        for problem in fitness.examine(get_redis_connection()):
            logger.warning("Redis: %s", problem)
    except fitness.UnfitRedis as error:
        logger.critical("Redis: %s", error)
    except RedisError as error:
        logger.error("Redis does not answer yet: %s", error)
