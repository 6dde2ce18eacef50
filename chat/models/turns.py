"""Turns: a message of a user, and what became of it."""

import logging
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import Error, models
from django.db.models import Q
from django.utils import timezone

from chat.conversations.history import put_turn
from chat.conversations.state import ConversationState, MessageEntry, ToolCallInfo
from chat.errors import TurnConflict
from chat.models.keyed import Keyed, KeyedRows
from common.database.statements import Parameter
from common.telemetry import metrics

logger = logging.getLogger(__name__)

INTERRUPTED = "interrupted"
LEASE_MARGIN_SECONDS = 5
CLOCKS_DIFFER = timedelta(seconds=5)  # of several servers


class TurnRows(KeyedRows["Turn"]):
    """Turns, in the order of acceptance."""

    def waiting(self) -> Self:
        """Return those that are over but not stored; also those whose process died."""
        return self.filter(to_be_stored(timezone.now()))

    def dead_letters(self) -> Self:
        """Return those that the store refuses for good."""
        return self.filter(state=Turn.State.DEAD_LETTER)

    def shorten_leases(self) -> None:
        """Let no lease last longer from now on than a turn may.

        One that does was taken before the clock stepped back. Whoever holds it has a deadline by
        the monotonic clock, which ends no later than the shortened lease.
        """
        latest = timezone.now() + lease_length()
        too_long = self.filter(state=Turn.State.ACCEPTED, lease_until__gt=latest + CLOCKS_DIFFER)
        too_long.update(lease_until=latest)

    def under_lease_of(self, turn: "Turn") -> Self:
        """Return the row of this turn, nothing if another process has taken it up since."""
        return self.filter(pk=turn.pk, lease_token=turn.lease_token)

    def newest(self, count: int) -> list["Turn"]:
        """Return the last of those that are over, oldest first."""
        over = self.exclude(state=Turn.State.ACCEPTED)
        return list(over.order_by("-id")[:count])[::-1]

    def to_store(self) -> list["Turn"]:
        """Return those that wait.

        A turn whose process died becomes a failed one here: its message, and what its tools did,
        are stored; a repeat of its request takes it up again.
        """
        now = timezone.now()
        turns = list(self.filter(to_be_stored(now)))
        if any(turn.state == Turn.State.ACCEPTED for turn in turns):
            self.filter(state=Turn.State.ACCEPTED, lease_until__lte=now).update(
                state=Turn.State.FAILED,
                failure=INTERRUPTED,
                stopped=False,
                lease_until=None,
                # A late return of the process must not find its own token.
                lease_token=secrets.token_hex(16),
            )
            turns = list(self.filter(state__in=TO_STORE))
        return turns


class Turn(Keyed):
    """A message and what came of it: write-ahead log, outbox, idempotency record, tool journal.

    Ids sort in the order in which the turns of a conversation were accepted.
    """

    class State(models.TextChoices):
        ACCEPTED = "accepted"  # being answered while the lease lives; afterwards to be stored
        ANSWERED = "answered"  # to be stored
        FAILED = "failed"  # no reply (`failure` says why); to be stored
        STORED = "stored"
        DEAD_LETTER = "dead letter"  # the store refuses its content for good

    id = models.CharField(max_length=32, primary_key=True)
    id_is_integer = models.BooleanField()
    accepted_at = models.DateTimeField("accepted")
    message = models.TextField()
    confirmed_deletes = models.JSONField(default=list, blank=True)
    tool_calls = models.JSONField(default=list, blank=True)
    reply = models.TextField(null=True)
    # While it is under way: it is to stop. Then: the user has cut the reply short. With a default
    # in the database, workers of the version before can go on inserting rows during an upgrade.
    stopped = models.BooleanField(default=False, db_default=False)
    answered_at = models.DateTimeField(null=True)
    stored_at = models.DateTimeField(null=True)
    state = models.CharField(max_length=12, choices=State.choices, default=State.ACCEPTED)
    failure = models.CharField(max_length=32, blank=True)
    degraded = models.BooleanField(default=False)
    refusal = models.CharField(max_length=255, blank=True)

    lease_until = models.DateTimeField(null=True)
    lease_token = models.CharField(max_length=32, blank=True)

    idempotency_key = models.CharField(max_length=255, null=True)
    body_digest = models.CharField(max_length=64, blank=True)

    objects = TurnRows.as_manager()

    degraded_by = ""  # the code of the error, while the turn is being answered

    class Meta:
        ordering = ("id",)
        constraints = [
            models.UniqueConstraint(
                fields=["user_id", "idempotency_key"], name="chat_one_turn_per_idempotency_key"
            )
        ]
        indexes = [
            models.Index(fields=["user_id", "conversation_id", "id"]),
            models.Index(fields=["state", "accepted_at"]),
            models.Index(fields=["user_id", "state", "lease_until"]),
        ]

    def __str__(self) -> str:
        return self.id

    def seconds_under_way(self, now: datetime) -> float:
        """Return how long its lease lasts from now; 0: nobody is answering it."""
        if self.state != Turn.State.ACCEPTED or self.lease_until is None:
            return 0
        return max(0.0, (self.lease_until - now).total_seconds())

    def current_state(self) -> str | None:
        """Return the state in the database, None if the row is gone."""
        return Turn.objects.filter(pk=self.pk).values_list("state", flat=True).first()

    def release(self) -> None:
        """Let go of the lease after an error of ours: the turn is stored without a reply."""
        try:
            released = (
                Turn.objects.under_lease_of(self)
                .filter(state=Turn.State.ACCEPTED)
                .update(
                    state=Turn.State.FAILED, failure=INTERRUPTED, stopped=False, lease_until=None
                )
            )
        except Error:
            logger.exception("turn %s keeps its lease until that ends", self.id)
        else:
            metrics.TURNS.labels(INTERRUPTED, "false").inc(released)

    def lost(self) -> TurnConflict:
        """Return the error for a turn that is no longer ours: deleted, or taken up by another."""
        if self.current_state() is None:
            return TurnConflict()
        return TurnConflict(
            "This message took too long, and is answered by another request now.",
            code="turn_in_progress",
            retry_after_seconds=1,
        )

    def messages(self) -> list[MessageEntry]:
        """Return the turn as the document has it: the message, and what came of it.

        Without a reply there is an assistant's message only if tools had run: the model must know.
        """
        entries = [MessageEntry(role="user", content=self.message, timestamp=self.accepted_at)]
        if self.reply is not None or self.tool_calls:
            calls = [
                ToolCallInfo(**{name: call[name] for name in ("tool", "parameters", "result")})
                for call in self.tool_calls
            ]
            entries.append(
                MessageEntry(
                    role="assistant",
                    content=self.reply or "",
                    timestamp=self.answered_at or self.accepted_at,
                    tool_calls=calls or None,
                    stopped=self.stopped,
                )
            )
        return [entry.model_copy(update={"turn_id": self.id}) for entry in entries]

    def is_in(self, state: ConversationState) -> bool:
        """Whether the document holds the turn as it is now."""
        stored = [message for message in state.messages if message.turn_id == self.id]
        return list(map(_gist, stored)) == list(map(_gist, self.messages()))


# The turn that a compiled statement is given, by its id and its lease.
GIVEN_TURN = Turn(id=Parameter("id"), lease_token=Parameter("lease_token"))


def lease_length() -> timedelta:
    """Return how long a turn is leased for: its own deadline ends a little before."""
    return timedelta(seconds=settings.CHAT_TURN_SECONDS + LEASE_MARGIN_SECONDS)


TO_STORE = (Turn.State.ANSWERED, Turn.State.FAILED)


def to_be_stored(now: datetime) -> Q:
    """Return the condition for turns that are over but not stored.

    A lease that has ended belongs to a process that died.
    """
    return Q(state__in=TO_STORE) | Q(state=Turn.State.ACCEPTED, lease_until__lte=now)


def put_turns(state: ConversationState, turns: Iterable[Turn], now: datetime) -> ConversationState:
    """Return the conversation with all these turns in it."""
    for turn in turns:
        messages = turn.messages()
        state = put_turn(state, turn.id, messages, now)
    return state


def _gist(message: MessageEntry) -> tuple[str, str, int]:
    return message.role, message.content, len(message.tool_calls or ())


class DeadLetterManager(models.Manager["DeadLetter"]):
    """Turns that the store refused for good."""

    def get_queryset(self) -> models.QuerySet["DeadLetter"]:
        return super().get_queryset().filter(state=Turn.State.DEAD_LETTER)


class DeadLetter(Turn):
    """A turn that the store refuses for good."""

    objects: ClassVar[Any] = DeadLetterManager()

    class Meta:
        proxy = True
        ordering = ("-accepted_at", "-id")
        default_permissions = ()  # the permissions on conversations hold
        verbose_name = "dead letter"
