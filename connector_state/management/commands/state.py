"""`manage.py state get|put|list|delete`: values, for operators."""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from common.visible import printable
from connector_state.core.parameters import TTL_MAX_SECONDS
from connector_state.management.base import ConnectorCommand, operator_name, read_file
from connector_state.models import Connector
from connector_state.store import audit, index
from connector_state.store.keys import Address, check_namespace
from connector_state.store.operator_session import OperatorSession


class Command(ConnectorCommand):
    help = (
        "Read, store, list and delete a connector's values. The audit records all but a listing, "
        "which shows no value."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        get = actions.add_parser("get", help="print a value")
        get.add_argument("--raw", action="store_true", help="the bytes as they are, unescaped")
        put = actions.add_parser("put", help="store a value, within the connector's quota")
        put.add_argument("--value", help="the value (default: read from --file)")
        put.add_argument("--file", help="a file with the value; - for standard input")
        put.add_argument("--ttl", type=int, metavar="SECONDS", help="default: never expires")
        delete = actions.add_parser("delete", help="delete a value")
        delete.add_argument("--yes", action="store_true", help="do not ask")
        for action in (get, put, delete):
            super().add_arguments(action)
            action.add_argument("namespace", metavar="NAMESPACE")
            action.add_argument("key", metavar="KEY")
        listing = actions.add_parser("list", help="list namespaces, or the keys of one")
        super().add_arguments(listing)
        listing.add_argument("namespace", nargs="?", metavar="NAMESPACE")
        listing.add_argument("--prefix", default="")

    def handle_connector(self, connector: Connector, options: dict[str, Any]) -> None:
        getattr(self, options["action"])(connector, options)

    def get(self, connector: Connector, options: dict[str, Any]) -> None:
        """Print a value, escaped unless --raw."""
        address = Address(options["namespace"], options["key"])
        audit.record_read(str(connector.uuid), operator_name(), address)
        entry = _session(connector).store.get(address)
        if entry is None:
            raise CommandError("Nothing is stored there.")
        if options["raw"]:
            sys.stdout.flush()
            sys.stdout.buffer.write(entry.value)
            return
        self.stdout.write(printable(entry.value.decode(errors="backslashreplace")))
        ttl = entry.ttl_seconds
        expiry = "never expires" if ttl is None else f"expires in {ttl} s"
        self.stderr.write(f"ETag {entry.etag}, {len(entry.value)} bytes, {expiry}")

    def put(self, connector: Connector, options: dict[str, Any]) -> None:
        """Store a value of --value or --file."""
        address, ttl = Address(options["namespace"], options["key"]), options["ttl"]
        if ttl is not None and not 1 <= ttl <= TTL_MAX_SECONDS:
            raise CommandError(f"--ttl must be from 1 to {TTL_MAX_SECONDS} seconds.")
        etag = _session(connector).store.put(address, _read_value(options), ttl)
        self.stdout.write(f"Stored; ETag {etag}")

    def delete(self, connector: Connector, options: dict[str, Any]) -> None:
        """Delete a value, after asking unless --yes."""
        address = Address(options["namespace"], options["key"])
        if not options["yes"]:
            shown = printable(f"{address.namespace}/{address.key}")
            _ask(f"Delete {shown} of {printable(str(connector))}? Type yes: ")
        existed = _session(connector).store.delete(address)
        self.stdout.write("Deleted." if existed else "Nothing was stored there.")

    def list(self, connector: Connector, options: dict[str, Any]) -> None:
        """Print all namespaces, or all keys of one, as one JSON object a line."""
        for row in _listed(_session(connector), options["namespace"], options["prefix"]):
            self.stdout.write(json.dumps(row))


def _listed(
    session: OperatorSession, namespace: str | None, prefix: str
) -> Iterator[dict[str, Any]]:
    if namespace is not None:
        check_namespace(namespace)
    after, more = "", True
    while more:
        if namespace is None:
            namespaces = index.list_namespaces(session.uuid, session.caller, after)
            more = namespaces.more
            for summary in namespaces.namespaces:
                after = summary.namespace
                yield {"namespace": after, "keys": summary.keys}
        else:
            keys = index.list_keys(session.uuid, session.caller, namespace, prefix, after)
            after, more = keys.last, keys.more
            for key in keys.keys:
                yield {"key": key.key, "size": key.size, "ttl": key.ttl_seconds}


def _ask(question: str) -> None:
    try:
        answer = input(question)
    except EOFError:
        raise CommandError("Nothing was deleted; say --yes.") from None
    if answer != "yes":
        raise CommandError("Nothing was deleted.")


def _session(connector: Connector) -> OperatorSession:
    return OperatorSession.of(connector, operator_name())


def _read_value(options: dict[str, Any]) -> bytes:
    text, file = options["value"], options["file"]
    if (text is None) == (file is None):
        raise CommandError("Give the value by --value or by --file, one of them.")
    value: bytes = read_file(file) if text is None else text.encode()
    if len(value) > settings.STATE_MAX_VALUE_BYTES:
        raise CommandError(f"A value may have at most {settings.STATE_MAX_VALUE_BYTES} bytes.")
    try:
        value.decode()
    except UnicodeDecodeError:
        raise CommandError("The value must be UTF-8 text.") from None
    return value
