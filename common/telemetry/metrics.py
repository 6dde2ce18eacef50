"""The metrics of the service, for Prometheus. config.metrics gathers them over all workers.

Labels have few values: route templates, codes and kinds, never ids or keys. Those of value calls
are bound once, since binding takes longer than counting.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

from prometheus_client import Counter, Gauge, Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"})
CLIENT_LEFT = 499  # nginx's status for it: there was no answer

_requests = Counter(
    "statekeep_requests",
    "Requests answered; status 499: the client left before there was an answer.",
    ["method", "route", "status"],
)
_request_seconds = Histogram(
    "statekeep_request_seconds",
    "Time from a request's headers to the last of its answer.",
    ["method", "route"],
    buckets=SECONDS,
)
ERROR_ANSWERS = Counter("statekeep_error_answers", "Errors answered by an API, by code.", ["code"])
REFUSALS = Counter(
    "statekeep_refusals",
    "Failed authentications, by kind of caller (connector, chat, login) and reason.",
    ["caller", "reason"],
)

REDIS_SECONDS = Histogram(
    "statekeep_redis_seconds",
    "Time of a connector's call to Redis that succeeded, with its retries.",
    buckets=SECONDS,
)
REDIS_ERRORS = Counter(
    "statekeep_redis_errors", "Attempts at a call to Redis that failed, by exception.", ["error"]
)

STORE_SECONDS = Histogram(
    "statekeep_conversation_store_seconds",
    "Time of a call to the conversation store, whatever came of it.",
    buckets=SECONDS,
)
STORE_ERRORS = Counter(
    "statekeep_conversation_store_errors",
    "Calls to the conversation store that failed, by exception; refused by the breaker included.",
    ["error"],
)
BREAKER_OPEN = Gauge(
    "statekeep_conversation_store_breaker_open",
    "Workers whose circuit breaker keeps chats from the conversation store.",
    multiprocess_mode="livesum",
)

TURNS = Counter(
    "statekeep_turns", "Messages answered, or not, by outcome.", ["outcome", "degraded"]
)
_model_seconds = Histogram(
    "statekeep_model_seconds",
    "Time of a call to the model's server, whatever came of it.",
    buckets=SECONDS,
)
_model_calls = Counter(
    "statekeep_model_calls",
    "Calls to the model's server, by outcome: answered, or the exception.",
    ["outcome"],
)

WORKERS = Gauge("statekeep_workers", "Workers that serve.", multiprocess_mode="livesum")


def count_request(method: str, route: str, status: int | None, seconds: float) -> None:
    """Count a request.

    Args:
        method: as it was sent.
        route: the template, "" without one.
        status: of the answer; None: the client left before there was one.
        seconds: how long it took.
    """
    count, observe = _of_requests(method, route, status)
    count()
    observe(seconds)


@contextmanager
def model_call() -> Iterator[None]:
    """Time a call to the model's server, and count what comes of it."""
    with _model_seconds.time():
        try:
            yield
        except Exception as error:
            _model_calls.labels(type(error).__name__).inc()
            raise
    _model_calls.labels("answered").inc()


@lru_cache(maxsize=4096)
def _of_requests(
    method: str, route: str, status: int | None
) -> tuple[Callable[[], None], Callable[[float], None]]:
    method, route = method if method in METHODS else "other", route or "none"
    counter = _requests.labels(method, route, str(status or CLIENT_LEFT))
    return counter.inc, _request_seconds.labels(method, route).observe


# A counter that begins at 0 shows its first increase, too.
for _name in ("ConnectionError", "TimeoutError"):
    REDIS_ERRORS.labels(_name)
for _name in ("StoreUnavailable", "BreakerOpen"):
    STORE_ERRORS.labels(_name)
for _name in ("answered", "model_failed", "model_timeout", "interrupted"):
    TURNS.labels(_name, "false")
for _name in ("answered", "ModelTimeout"):
    _model_calls.labels(_name)
for _name in ("bad_signature", "unknown_key_id", "replayed", "timestamp_out_of_window"):
    REFUSALS.labels("connector", _name)
ERROR_ANSWERS.labels("busy")
