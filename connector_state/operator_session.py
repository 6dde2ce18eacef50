"""An operator's access to a connector's state: admin pages, commands, export and import."""

from collections.abc import Iterator
from dataclasses import dataclass

from common.visible import visible_name
from connector_state.errors import VersionGone
from connector_state.models import Connector
from connector_state.store.calls import Caller, Limits
from connector_state.store.history import History, history_of
from connector_state.store.index import KeySummary, NamespaceSummary, list_keys, list_namespaces
from connector_state.store.keys import Address, check_namespace
from connector_state.store.operations import Condition, Entry, Operation
from connector_state.store.policy import Policy
from connector_state.store.values import StateStore

GONE = "This value is not kept any more: newer ones have taken its place, or it has ended."


def named(address: Address) -> str:
    """Return an address for people to read."""
    return f"{visible_name(address.namespace)} / {visible_name(address.key)}"


@dataclass(frozen=True, slots=True)
class OperatorSession:
    """An operator's calls on the state of one connector.

    The connector's quotas hold for them too; its rate, namespaces and read-only flag do not.
    `address` is the operator's, for the audit; "" at the command line.
    """

    uuid: str
    username: str
    limits: Limits
    address: str = ""

    @classmethod
    def of(cls, connector: Connector, username: str, address: str = "") -> "OperatorSession":
        """Return the session of a user of admin or of the command line."""
        limits = Policy.of(connector).limits.without_rate()
        return cls(str(connector.pk), username, limits, address)

    @property
    def caller(self) -> Caller:
        """Return a new caller for each call, since a nonce is good only once."""
        return Caller.operator(self.username, self.limits, self.address)

    @property
    def store(self) -> StateStore:
        """Return the connector's values, for one call."""
        return StateStore(self.uuid, self.caller)

    def history(self, address: Address) -> History:
        """Return the earlier versions of a key."""
        return history_of(self.uuid, self.caller, address)

    def version(self, address: Address, etag: str) -> bytes:
        """Return the value of a key that has this ETag, or had it.

        Raises:
            VersionGone: it is not kept.
        """
        (entry,) = self.store.operate([Operation("version", address, etag=etag)])
        if not isinstance(entry, Entry):
            raise VersionGone(GONE)
        return entry.value

    def restore(self, address: Address, etag: str, if_match: str | None) -> str:
        """Store an earlier version of a key again, without an expiry; return its ETag.

        Args:
            if_match: the ETag of the value that it replaces; None if there must be none.

        Raises:
            VersionGone: the version is not kept (any more).
            PreconditionFailed: another value is stored by now; nothing was written.
        """
        value = self.version(address, etag)
        condition = Condition(if_match=if_match or "", if_none_match="" if if_match else "*")
        return self.store.put(address, value, condition=condition)

    def namespaces(self) -> Iterator[NamespaceSummary]:
        """Yield all namespaces, which are read in pages."""
        after, more = "", True
        while more:
            page = list_namespaces(self.uuid, self.caller, after)
            for row in page.namespaces:
                yield row
                after = row.namespace
            more = page.more

    def key_pages(self, namespace: str, prefix: str = "") -> Iterator[list[KeySummary]]:
        """Yield all keys of a namespace that begin with `prefix`, page by page.

        Raises:
            InvalidRequest: the namespace is not valid.
        """
        check_namespace(namespace)
        after, more = "", True
        while more:
            page = list_keys(self.uuid, self.caller, namespace, prefix, after)
            yield page.keys
            after, more = page.last, page.more
