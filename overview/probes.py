"""Whether everything that Statekeep needs answers, in words.

The start page of admin, `/readyz` and `check_stores` ask by these. No probe outlasts its limit for
who asks, and none says a secret.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from django import db
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django_redis import get_redis_connection
from redis.exceptions import RedisError

from chat.assistant.reachable import examine_assistant
from chat.errors import ChatError
from chat.repository import conversation_repository
from connector_state.credentials.issuing import unreadable_credentials
from connector_state.store import redis_checks
from overview.bounded import NoAnswer, Question

logger = logging.getLogger(__name__)

PROBE_SECONDS = 1.5
SLOW_SECONDS = 30.0  # for what reads a table
KEY_IDS_NAMED = 5

State = Literal["ok", "warning", "unsafe", "failed"]


class Finding(NamedTuple):
    """What answered, and what is wrong with it; `dangers` lose what is stored there."""

    description: str
    problems: tuple[str, ...] = ()
    dangers: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        """The worst of it."""
        if self.dangers:
            return "unsafe"
        return "warning" if self.problems else "ok"


@dataclass(frozen=True, slots=True)
class Health:
    """What a probe found. `description` says what answered, or why nothing did.

    "unsafe": it can be used, and loses what is stored there, or takes nothing more.
    """

    name: str
    title: str
    state: State
    description: str
    problems: tuple[str, ...]
    milliseconds: float

    @property
    def answers(self) -> bool:
        """Whether it can be used."""
        return self.state != "failed"


class Unfit(Exception):
    """Something answers, and can't be used as it is."""


class Probe:
    """One thing to ask, by name.

    Args of the constructor:
        ask: returns a Finding; what it raises means that there is no answer.
        seconds: how long who asks waits for it.
    """

    def __init__(
        self, name: str, title: str, ask: Callable[[], Finding], seconds: float = PROBE_SECONDS
    ) -> None:
        self.name = name
        self.title = title
        self._question = Question(ask)
        self._seconds = seconds

    def begin(self) -> Callable[[], Health]:
        """Ask now; return what waits for the answer."""
        until = time.monotonic() + self._seconds
        wait = self._question.begin()

        def health() -> Health:
            outcome = wait(until)
            found, milliseconds = outcome.value, outcome.milliseconds
            if found is None:
                return self._failed(outcome.error, milliseconds)
            wrong = (*found.dangers, *found.problems)
            return Health(
                self.name, self.title, found.state, found.description, wrong, milliseconds
            )

        return health

    def _failed(self, error: Exception | None, milliseconds: float) -> Health:
        logger.warning("%s does not answer: %r", self.name, error)
        return Health(self.name, self.title, "failed", _reason(error), (), milliseconds)


def _reason(error: Exception | None) -> str:
    """Words for people. What libraries say may hold addresses and users: that is for the log."""
    if isinstance(error, NoAnswer | Unfit | redis_checks.UnfitRedis):
        return str(error)
    if isinstance(error, ChatError):
        return error.detail
    if isinstance(error, RedisError | db.Error | OSError):
        return "It can't be reached. The log says more."
    return "It could not be examined. The log says more."


# --- The probes -----------------------------------------------------------------------------------


def _redis() -> Finding:
    found = redis_checks.examine(get_redis_connection())
    return Finding(found.description, found.problems, found.dangers)


def _database() -> Finding:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    version = ".".join(str(part) for part in connection.get_database_version())
    return Finding(f"{connection.display_name} {version}")


def _conversations() -> Finding:
    info = conversation_repository().check(time.monotonic() + PROBE_SECONDS)
    lacks = tuple(
        f"The store does not offer {feature}, which conversations need to be safe."
        for feature in info.lacks
    )
    if info.backend == "redis":
        version = redis_checks.version_of(get_redis_connection())
        return Finding(f"{info.description}, {version}", lacks)
    return Finding(f"Dapr, {info.description}", lacks)


def _model() -> Finding:
    info = examine_assistant(PROBE_SECONDS)
    return Finding(info.description, info.problems)


def _migrations() -> Finding:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        raise Unfit(f"{len(missing)} are not applied: run manage.py migrate.")
    return Finding("all applied")


def _secrets() -> Finding:
    unreadable, total = unreadable_credentials()
    if not unreadable:
        return Finding(f"all {total} can be decrypted")
    named = ", ".join(unreadable[:KEY_IDS_NAMED])
    more = "" if len(unreadable) <= KEY_IDS_NAMED else " and others"
    raise Unfit(
        f"{len(unreadable)} of {total} can't be decrypted by any of CONNECTOR_SECRET_KEYS: "
        f"{named}{more}."
    )


REDIS = Probe("redis", "Redis", _redis)
DATABASE = Probe("database", "Database", _database)
CONVERSATIONS = Probe("conversations", "Conversation store", _conversations)
MODEL = Probe("model", "Model", _model)
MIGRATIONS = Probe("migrations", "Migrations", _migrations, SLOW_SECONDS)
SECRETS = Probe("secrets", "Credentials", _secrets, SLOW_SECONDS)

STORES = (REDIS, DATABASE, CONVERSATIONS, MODEL)


def examine(probes: Iterable[Probe]) -> list[Health]:
    """Ask all of them at once, and return what each found."""
    begun = [probe.begin() for probe in probes]
    return [health() for health in begun]
