"""When and from where a connector's credentials were used last, and how far a rotation has come."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from redis.exceptions import RedisError

from connector_state.admin.connectors.listing import usage_or_none
from connector_state.credentials.counters.call_counts import Recorded, recorded_of
from connector_state.models import Connector, Credential
from connector_state.store.usage import Usage

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UsedCredential:
    """A credential, and its last use. `at` is None, and `address` "", if never or not known."""

    credential: Credential
    at: datetime | None
    address: str


@dataclass(frozen=True, slots=True)
class Use:
    """What Redis knows of a connector; None while it does not answer."""

    usage: Usage | None
    recorded: Recorded | None

    @classmethod
    def of(cls, connector: Connector) -> "Use":
        found = usage_or_none([connector])
        if found is None:
            return cls(None, None)  # asking again would take as long again
        usage = found[str(connector.pk)]
        try:
            return cls(usage, recorded_of(str(connector.pk)))
        except RedisError as error:
            logger.error("a connector's page had no answer of Redis: %r", error)
            return cls(usage, None)

    def of_credentials(self, credentials: Iterable[Credential]) -> list[UsedCredential]:
        """Return credentials with their last use."""
        used = self.usage.last_used if self.usage else {}
        addresses = self.recorded.addresses if self.recorded else {}
        return [
            UsedCredential(each, used.get(each.key_id), addresses.get(each.key_id, ""))
            for each in credentials
        ]

    def live(self, connector: Connector) -> list[UsedCredential]:
        """Return the live credentials of a connector with their last use, the newest first."""
        return self.of_credentials(connector.credentials.live())


def is_only_used(key_id: str, live: list[UsedCredential]) -> bool:
    """Tell whether a live credential is the only one of them that was ever used."""
    return [one.credential.key_id for one in live if one.at] == [key_id]
