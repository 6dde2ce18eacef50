"""Authentication failures of the last days, as a table by kind of caller and reason."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

# The prefixes of counted reasons. Those of connectors have none.
CHAT, LOGIN = "chat:", "login:"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of caller: the permission to see its failures, and its reasons in words."""

    prefix: str
    title: str
    permission: str
    reasons: dict[str, str]


KINDS = (
    Kind(
        "",
        "Connectors",
        "connector_state.view_connector",
        {
            "bad_enrolment_token": "the enrolment token is wrong",
            "bad_signature": "the signature does not match",
            "dsx_connect_full": "DSX_CONNECT_MAX_CONNECTORS came from the dsx-connect already",
            "foreign_not_accepted": "the dsx-connect's credential is not accepted for a connector",
            "look_ups_limited": "too many unknown key ids at once (answered with 503)",
            "malformed_header": "the Authorization header is malformed",
            "replayed": "the nonce was used before",
            "timestamp_out_of_window": "the clock is off",
            "unknown_key_id": "the key id is unknown, revoked or expired",
        },
    ),
    Kind(
        CHAT,
        "Chat",
        "chat.view_conversation",
        {
            "bad_credentials": "the user name or the password is wrong",
            "bad_token": "the token is not valid",
            "locked_out": "too many wrong passwords",
            "no_user": "the token names no user",
            "token_expired": "the token has expired",
            "wrong_token_type": "it is no access token",
        },
    ),
    Kind(
        LOGIN,
        "Log-ins to these pages",
        "auth.view_user",
        {
            "bad_credentials": "the user name or the password is wrong",
            "locked_out": "too many wrong passwords",
        },
    ),
)


@dataclass(frozen=True, slots=True)
class Group:
    """The failures of one kind. A row has a reason, its words, its numbers by day, and their sum.

    The most frequent reason comes first.
    """

    title: str
    rows: list[tuple[str, str, list[str], str]]


@dataclass(frozen=True, slots=True)
class Refusals:
    """The table: a column for each day, and a group for each kind that had failures."""

    days: list[str]
    groups: list[Group]


def refusals(daily: dict[str, dict[str, int]], kinds: Iterable[Kind]) -> Refusals:
    """Return the table of some kinds.

    Args:
        daily: by day, how often each reason was counted (credentials.counters.failures).
    """
    groups = (_group(daily, kind) for kind in kinds)
    return Refusals(list(daily), [group for group in groups if group.rows])


def _group(daily: dict[str, dict[str, int]], kind: Kind) -> Group:
    totals: Counter[str] = Counter()
    for counts in daily.values():
        totals.update({field: n for field, n in counts.items() if _is_of(field, kind)})
    rows = [
        (
            reason := field.removeprefix(kind.prefix),
            kind.reasons.get(reason, ""),
            [f"{daily[day].get(field, 0):,}" for day in daily],
            f"{total:,}",
        )
        for field, total in totals.most_common()
    ]
    return Group(kind.title, rows)


def _is_of(field: str, kind: Kind) -> bool:
    prefix, colon, _ = field.rpartition(":")
    return prefix + colon == kind.prefix
