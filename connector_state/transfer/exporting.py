"""Write an export: read a connector's values from Redis and yield the lines of the file."""

from collections.abc import Iterator

from connector_state.operator_session import OperatorSession
from connector_state.store import audit
from connector_state.store.keys import Address, check_namespace
from connector_state.store.operations import Entry, Operation
from connector_state.store.values import expires_at
from connector_state.transfer.lines import ExportedKey, end_line, header_line, key_line


def export(session: OperatorSession, namespace: str | None = None) -> Iterator[bytes]:
    """Yield the lines of an export: the indexed keys of one namespace, or of all (None).

    Values that the connector writes during the export may or may not be in it.

    Raises:
        InvalidRequest: the namespace is not valid.
        redis.exceptions.RedisError, Unavailable: Redis did not answer. The lines yielded so far
            lack the end line, so an import refuses them.
    """
    if namespace is not None:
        check_namespace(namespace)
    # Before the first value leaves: an export that fails half way is in the audit too.
    audit.record_export(session.uuid, session.username, namespace, session.address)
    yield header_line(session.uuid, namespace)
    count = 0
    all_namespaces = (row.namespace for row in session.namespaces())
    for each in all_namespaces if namespace is None else [namespace]:
        for exported in _exported(session, each):
            yield key_line(exported)
            count += 1
    yield end_line(count)


def _exported(session: OperatorSession, namespace: str) -> Iterator[ExportedKey]:
    for page in session.key_pages(namespace):
        operations = [Operation("get", Address(namespace, row.key)) for row in page]
        entries = session.store.operate(operations) if operations else []
        for operation, entry in zip(operations, entries, strict=True):
            if isinstance(entry, Entry):  # None: deleted or expired since it was listed
                yield ExportedKey(operation.address, entry.value, expires_at(entry.ttl_seconds))
