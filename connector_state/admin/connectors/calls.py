"""What a connector's page says of its calls: how many, which were refused, what can't be read."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.urls import reverse
from django.utils.http import urlencode
from django_redis import get_redis_connection

from connector_state.admin.keys.pages import keys_url
from connector_state.credentials.counters import refusals
from connector_state.credentials.counters.call_counts import OK, Recorded
from connector_state.operator_session import named
from connector_state.store.keys import Address, connector_keys

HOURS = 24
UNREADABLE_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of one connector, with numbers as text.

    `rows` are the calls of each of `days`, the newest first, by outcome, and their sum; the first
    row is of all calls. `refused` are the refusals of the last HOURS by reason, those of strangers
    in its name too, and `refused_url` lists them. `unreadable` are keys that a call found to be no
    text.
    """

    days: list[date]
    rows: list[tuple[str, list[str], str]]
    refused: list[tuple[str, str]]
    refused_total: str
    refused_url: str
    unreadable: list[Address]

    @property
    def today(self) -> str:
        return self.rows[0][1][0]

    @property
    def yesterday(self) -> str:
        return self.rows[0][1][1]

    @property
    def has_any(self) -> bool:
        return self.rows[0][2] != "0"


def calls_of(connector_uuid: str, recorded: Recorded) -> Calls:
    """Return what is known of a connector's calls.

    Raises:
        redis.exceptions.RedisError: Redis did not answer.
    """
    refused = refusals.of_connector(connector_uuid, HOURS)
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    query = {"kind": "refusal", "connector": connector_uuid, "from": yesterday.isoformat()}
    return Calls(
        days=list(recorded.daily),
        rows=_rows(recorded.daily.values()),
        refused=[(reason, f"{number:,}") for reason, number in refused.most_common()],
        refused_total=f"{refused.total():,}",
        refused_url=f"{reverse('admin:overview_happened')}?{urlencode(query)}",
        unreadable=_still_unreadable(connector_uuid, recorded.unreadable[:UNREADABLE_SHOWN]),
    )


def linked(connector_uuid: str, addresses: list[Address]) -> list[tuple[str, str]]:
    """Return the URL and the name of each key, for those who may see keys."""
    return [
        (keys_url(connector_uuid, "key", namespace=one.namespace, key=one.key), named(one))
        for one in addresses
    ]


def _rows(daily: Collection[dict[str, int]]) -> list[tuple[str, list[str], str]]:
    failed = sorted({outcome for counts in daily for outcome in counts} - {OK})
    return [
        _row("All calls", [sum(counts.values()) for counts in daily]),
        *[_row(outcome, [counts.get(outcome, 0) for counts in daily]) for outcome in failed],
    ]


def _row(label: str, numbers: list[int]) -> tuple[str, list[str], str]:
    return label, [f"{number:,}" for number in numbers], f"{sum(numbers):,}"


def _still_unreadable(connector_uuid: str, members: list[str]) -> list[Address]:
    """Return the keys whose values are still no text: most were mended or deleted since."""
    prefix = connector_keys(connector_uuid).value_prefix
    pipeline = get_redis_connection().pipeline(transaction=False)
    for member in members:
        pipeline.get(prefix + member)
    values = zip(members, pipeline.execute(raise_on_error=False), strict=True)
    return [Address.from_member(member) for member, value in values if not _is_text(value)]


def _is_text(value: object) -> bool:
    if not isinstance(value, bytes):
        return value is None  # what is no string is an error, and can't be read
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
