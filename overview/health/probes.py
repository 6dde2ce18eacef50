"""Whether everything that Statekeep needs answers, in words.

The start page of admin, `/readyz` and `check_stores` use these probes. Nobody waits for a probe
longer than its limit, and none tells a secret.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from django import db
from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.template.defaultfilters import pluralize
from django_redis import get_redis_connection
from redis.exceptions import NoPermissionError, RedisError

from chat.assistant.reachable import examine_assistant
from chat.errors import ChatError, StoreUnavailable
from chat.models import Quarantine, Turn
from chat.repository import conversation_repository
from common.findings import Finding, Unfit
from connector_state.credentials import dsx_connect
from connector_state.credentials.issuing import unreadable_credentials
from connector_state.redis_server import checks, trial
from connector_state.store.usage import unsigned_connectors
from overview.health import database
from overview.health.bounded import NoAnswer, Outcome, Question

logger = logging.getLogger(__name__)

PROBE_SECONDS = 1.5
SLOW_SECONDS = 30.0  # for those that read a whole table
MODEL_SECONDS = 3.0  # on a page; most models take longer than a store for the shortest answer
KEY_IDS_NAMED = 5

State = Literal["ok", "warning", "unsafe", "failed"]


@dataclass(frozen=True, slots=True)
class Health:
    """The result of a probe. `description` says what answered, or why nothing did.

    "unsafe" can be used, but loses what is stored there, or refuses writes; "failed" can't be used.
    `is_unfit`: it failed although something answered.
    """

    name: str
    title: str
    state: State
    description: str
    problems: tuple[str, ...]
    milliseconds: float
    is_unfit: bool = False

    @property
    def answers(self) -> bool:
        return self.state != "failed"


class Probe:
    """A question to one store or server, with a limit to the time that callers wait for it."""

    def __init__(
        self,
        name: str,
        title: str,
        ask: Callable[[], Finding],
        seconds: float = PROBE_SECONDS,
    ) -> None:
        """Prepare the question.

        Args:
            name: for programs.
            title: for people.
            ask: asks; an exception means that there is no answer.
            seconds: how long a caller waits at most.
        """
        self.name = name
        self.title = title
        self._question = Question(ask)
        self._seconds = seconds

    def begin(self) -> Callable[[], Health]:
        """Ask, and return a function that waits for the answer."""
        until = time.monotonic() + self._seconds
        wait = self._question.begin()
        return lambda: self._health(wait(until))

    def _health(self, outcome: Outcome[Finding]) -> Health:
        found = outcome.value
        if found is None:
            if isinstance(outcome.error, Unfit):
                logger.warning("%s: %s", self.title, outcome.error)
            else:
                logger.warning("%s: no answer: %r", self.title, outcome.error)
            found = Finding(_reason(outcome.error))
        return Health(
            self.name,
            self.title,
            "failed" if outcome.value is None else found.state,
            found.description,
            (*found.dangers, *found.problems),
            outcome.milliseconds,
            isinstance(outcome.error, Unfit),
        )


def _reason(error: Exception | None) -> str:
    # Libraries put addresses and users into their messages: those are for the log.
    if isinstance(error, NoAnswer | Unfit):
        return str(error)
    if isinstance(error, ChatError):
        return error.detail
    if isinstance(error, RedisError | db.Error | OSError):
        return "It can't be reached. The log says more."
    return "It could not be examined. The log says more."


# --- The probes -----------------------------------------------------------------------------------


def _conversations() -> Finding:
    try:
        info = conversation_repository().check(time.monotonic() + PROBE_SECONDS)
    except StoreUnavailable as error:
        if settings.CHAT_STATE_STORE != "dapr":
            raise
        raise NoAnswer(
            "It can't be reached through the Dapr sidecar of DAPR_HTTP_ENDPOINT or DAPR_HTTP_PORT. "
            "Without a sidecar, set CHAT_STATE_STORE=redis."
        ) from error
    problems = tuple(
        f"The store does not offer {feature}, which conversations need to be safe."
        for feature in info.lacks
    )
    if info.backend == "redis":
        version = checks.examine_version(get_redis_connection())
        return Finding(f"{info.description}, {version}", problems=problems)
    return Finding(f"Dapr, {info.description}", problems=problems)


def _migrations() -> Finding:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        raise Unfit(f"{len(missing)} are not applied: run manage.py migrate.")
    return Finding("all applied")


def _secrets() -> Finding:
    unreadable, total = unreadable_credentials()
    if not unreadable:
        return Finding(f"all {total} can be decrypted", problems=_unsigned())
    named = ", ".join(unreadable[:KEY_IDS_NAMED])
    more = "" if len(unreadable) <= KEY_IDS_NAMED else " and others"
    raise Unfit(
        f"{len(unreadable)} of {total} can't be decrypted by any of CONNECTOR_SECRET_KEYS: "
        f"{named}{more}."
    )


def _repairs() -> Finding:
    corrupt = Quarantine.objects.filter(resolved_at=None).count()
    dead = Turn.objects.dead_letters().count()
    if not corrupt and not dead:
        return Finding("nothing waits for an operator")
    letters = f"{dead} dead letter{pluralize(dead)}"
    waiting = f"{corrupt} in quarantine and {letters} wait for an operator, in admin."
    return Finding("conversations to repair", problems=(waiting,))


def _unsigned() -> tuple[str, ...]:
    try:
        uuids = [str(connector.pk) for connector in unsigned_connectors()]
    except RedisError:  # which has a probe of its own
        return ()
    if not uuids:
        return ()
    named, count = ", ".join(uuids[:KEY_IDS_NAMED]), len(uuids)
    more = "" if count <= KEY_IDS_NAMED else " and others"
    return (
        f"{count} connector{pluralize(count)} register{pluralize(count, 's,')}, but never signed a "
        f"call with a live credential, and so read no cursor: {named}{more}.",
    )


def _dsx_connect() -> Finding:
    try:
        dsx_connect.check()
    except NoPermissionError as error:
        raise Unfit(
            "Its user may not GET and HMGET the keys that docs/connectors.md names."
        ) from error
    return Finding(f"credentials of environment {settings.DSX_CONNECT_ENV} can be read")


REDIS = Probe("redis", "Redis", trial.examine)
DATABASE = Probe("database", "Database", database.examine)
CONVERSATIONS = Probe("conversations", "Conversation store", _conversations)
MODEL = Probe(
    "model",
    "Model",
    # Asking costs tokens, and the page is looked at often.
    lambda: examine_assistant(MODEL_SECONDS, ask_every_seconds=300),
    MODEL_SECONDS,
)
SLOW_MODEL = Probe(
    # As long as a chat waits: a slow model is no failure.
    "model",
    "Model",
    lambda: examine_assistant(settings.CHAT_TURN_SECONDS),
    settings.CHAT_TURN_SECONDS,
)
MIGRATIONS = Probe("migrations", "Migrations", _migrations, SLOW_SECONDS)
SECRETS = Probe("secrets", "Credentials", _secrets, SLOW_SECONDS)
REPAIRS = Probe("repairs", "Repairs", _repairs, SLOW_SECONDS)
DSX_CONNECT = Probe("dsx_connect", "dsx-connect's Redis", _dsx_connect)

STORES = (REDIS, DATABASE, CONVERSATIONS, SLOW_MODEL)


def beside() -> tuple[Probe, ...]:
    """Return the probe of the dsx-connect's Redis, if credentials are looked up there."""
    return (DSX_CONNECT,) if settings.DSX_CONNECT_REDIS_URL else ()


def examine(probes: Iterable[Probe]) -> list[Health]:
    """Ask all probes at once, and return what each found."""
    begun = [probe.begin() for probe in probes]
    return [health() for health in begun]
