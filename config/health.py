"""Liveness, readiness and version, for supervisors and load balancers; they need no credentials."""

import logging
from collections.abc import Callable
from functools import wraps

from django.http import HttpRequest, HttpResponse, JsonResponse
from redis.exceptions import RedisError

from config.errors.answers import error_response
from config.version import NAME, REVISION, VERSION
from connector_state.credentials import live
from connector_state.redis_server import checks, trial
from overview.health import probes

logger = logging.getLogger(__name__)

NEEDED = (probes.REDIS, probes.DATABASE)


def for_reading(view: Callable[[HttpRequest], HttpResponse]) -> Callable[..., HttpResponse]:
    """Refuse all methods but GET and HEAD; Django's require_safe does so with an empty body."""

    @wraps(view)
    def answer(request: HttpRequest) -> HttpResponse:
        if request.method in ("GET", "HEAD"):
            return view(request)
        detail = f'Method "{request.method}" not allowed.'
        return error_response(405, "method_not_allowed", detail, {"Allow": "GET, HEAD"})

    return answer


@for_reading
def livez(request: HttpRequest) -> JsonResponse:
    """Return a 200, as this process serves."""
    return JsonResponse({"status": "ok"})


@for_reading
def readyz(request: HttpRequest) -> JsonResponse:
    """Return a 200 if Redis and the database can be used, else a 503 that names what can't.

    The conversation store and the dsx-connect's Redis are only reported: without the one chats are
    answered degraded, without the other known connectors are served for some time. With
    `?for=state` the database is not needed either, as long as known connectors are served.
    """
    asked = (*NEEDED, probes.CONVERSATIONS, *probes.beside())
    found = {health.name: health for health in probes.examine(asked)}
    missing = {probe.name for probe in NEEDED if not found[probe.name].answers}
    if request.GET.get("for") == "state" and live.are_known_ones_served():
        missing.discard(probes.DATABASE.name)
    return JsonResponse(
        {
            "status": "unready" if missing else "ready",
            **{name: _in_public(health) for name, health in found.items()},
        },
        status=503 if missing else 200,
    )


def _in_public(health: probes.Health) -> str:
    if health.answers:
        return "ok"
    return "can't be used" if health.is_unfit else "does not answer"  # check_stores says why


@for_reading
def version(request: HttpRequest) -> JsonResponse:
    """Return the version, and the revision of the source if the image was built with it."""
    return JsonResponse({"name": NAME, "version": VERSION, "revision": REVISION or None})


def report_redis_problems() -> None:
    """Log what is wrong with Redis, when a worker starts."""
    try:
        found = trial.examine()
        for problem in (*found.dangers, *found.problems):
            logger.warning("Redis: %s", problem)
    except checks.UnfitRedis as error:
        logger.critical("Redis: %s", error)
    except RedisError as error:
        logger.error("Redis does not answer yet: %s", error)
