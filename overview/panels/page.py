"""The panels of the start page, each for users who may see its subject.

All stores are asked at once and with a time limit, so the page is shown even if all are frozen.
"""

import time
from dataclasses import dataclass
from typing import Any

from connector_state.credentials.counters import failures
from overview.counts import count_connectors, count_conversations, count_usage
from overview.figures import figures_now
from overview.health import probes
from overview.health.bounded import Question
from overview.health.probes import PROBE_SECONDS, Health
from overview.panels.growth import CHAT_SERIES, CONNECTOR_SERIES, Growth, growth
from overview.panels.refusals import KINDS, Refusals, refusals
from overview.panels.tallies import Tally, chat_tallies, connector_tallies

FAILURE_DAYS = 7

_usage = Question(count_usage)
_failures: Question[dict[str, dict[str, int]]] = Question(lambda: failures.daily(FAILURE_DAYS))


@dataclass(frozen=True, slots=True)
class Panels:
    """The panels. What a user may not see is empty or None.

    `refusals` is also None while Redis does not answer.
    """

    health: list[Health]
    connectors: list[Tally]
    chat: list[Tally]
    growth: Growth | None
    refusals: Refusals | None


def panels_for(user: Any, days: int) -> Panels | None:
    """Return the panels that a user may see, or None if there are none."""
    sees_state = user.has_perm("connector_state.view_connector")
    sees_chat = user.has_perm("chat.view_conversation")
    kinds = [kind for kind in KINDS if user.has_perm(kind.permission)]
    if not kinds:
        return None
    until = time.monotonic() + PROBE_SECONDS
    usage_by = _usage.begin() if sees_state else None
    failures_by = _failures.begin()
    connectors, chat = count_connectors(), count_conversations()
    health = probes.examine(_visible_probes(sees_state, sees_chat))
    usage = usage_by(until).value if usage_by else None
    failed = failures_by(until).value
    series = (*(CONNECTOR_SERIES if sees_state else ()), *(CHAT_SERIES if sees_chat else ()))
    return Panels(
        health=health,
        connectors=connector_tallies(connectors, usage) if sees_state else [],
        chat=chat_tallies(chat) if sees_chat else [],
        growth=growth(series, days, figures_now(connectors, chat, usage)) if series else None,
        refusals=None if failed is None else refusals(failed, kinds),
    )


def _visible_probes(sees_state: bool, sees_chat: bool) -> list[probes.Probe]:
    of_state = [probes.REDIS, *probes.beside()] if sees_state else []
    of_chat = [probes.CONVERSATIONS, probes.MODEL] if sees_chat else []
    return [*of_state, probes.DATABASE, *of_chat]
