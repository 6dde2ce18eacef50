"""Authentication failures of the last days, as a table by reason."""

from collections import Counter
from dataclasses import dataclass

REASONS = {
    "bad_signature": "the signature does not match",
    "malformed_header": "the Authorization header is malformed",
    "replayed": "the nonce was used before",
    "timestamp_out_of_window": "the clock is off",
    "unknown_key_id": "the key id is unknown, revoked or expired",
}


@dataclass(frozen=True, slots=True)
class Refusals:
    """`rows` are the reasons, the most frequent first: code, words, a number for each day, sum."""

    days: list[str]
    rows: list[tuple[str, str, list[str], str]]


def refusals(daily: dict[str, dict[str, int]]) -> Refusals:
    """Return the table of what connector_state.failures counted."""
    totals: Counter[str] = Counter()
    for counts in daily.values():
        totals.update(counts)
    rows = [
        (
            reason,
            REASONS.get(reason, ""),
            [f"{daily[day].get(reason, 0):,}" for day in daily],
            f"{total:,}",
        )
        for reason, total in totals.most_common()
    ]
    return Refusals(list(daily), rows)
