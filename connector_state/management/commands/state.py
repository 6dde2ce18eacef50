"""`manage.py state get|put|list|delete`: values, for operators.

What is read, stored and deleted is in the connector's audit. A listing is not: it shows no value.
"""

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from redis.exceptions import RedisError

from connector_state.core.parameters import TTL_MAX_SECONDS
from connector_state.errors import ConnectorStateError
from connector_state.management.operator import find_connector, operator_name, printable, read_file
from connector_state.models import Connector
from connector_state.store import audit, index
from connector_state.store.keys import Address, check_namespace
from connector_state.store.operator_session import OperatorSession


class Command(BaseCommand):
    """Read, store, list and delete values."""

    help = (
        "Read, store, list and delete a connector's values. "
        "What is read, stored and deleted is in its audit; a listing is not."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """One parser an action."""
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        get = actions.add_parser("get", help="print a value")
        get.add_argument("--raw", action="store_true", help="the bytes as they are, unescaped")
        put = actions.add_parser("put", help="store a value, within the connector's quota")
        put.add_argument("--value", help="the value (default: read from --file)")
        put.add_argument("--file", help="a file with the value; - for standard input")
        put.add_argument("--ttl", type=int, metavar="SECONDS", help="default: never expires")
        delete = actions.add_parser("delete", help="delete a value")
        delete.add_argument("--yes", action="store_true", help="do not ask")
        listing = actions.add_parser("list", help="list namespaces, or the keys of one")
        listing.add_argument("connector", metavar="CONNECTOR")
        listing.add_argument("namespace", nargs="?", metavar="NAMESPACE")
        listing.add_argument("--prefix", default="")
        for action in (get, put, delete):
            action.add_argument("connector", metavar="CONNECTOR", help="its UUID, or its name")
            action.add_argument("namespace", metavar="NAMESPACE")
            action.add_argument("key", metavar="KEY")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do one action."""
        connector = find_connector(options["connector"])
        try:
            getattr(self, options["action"])(connector, options)
        except ConnectorStateError as error:
            raise CommandError(error.detail) from error
        except RedisError as error:
            raise CommandError(f"Redis did not answer: {error}") from error

    def get(self, connector: Connector, options: dict[str, Any]) -> None:
        """Print a value, escaped unless --raw; missing is an error."""
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
        lives = (
            "never expires" if entry.ttl_seconds is None else f"expires in {entry.ttl_seconds} s"
        )
        self.stderr.write(f"ETag {entry.etag}, {len(entry.value)} bytes, {lives}")

    def put(self, connector: Connector, options: dict[str, Any]) -> None:
        """Store a value."""
        address = Address(options["namespace"], options["key"])
        ttl = options["ttl"]
        if ttl is not None and not 1 <= ttl <= TTL_MAX_SECONDS:
            raise CommandError(f"--ttl must be from 1 to {TTL_MAX_SECONDS} seconds.")
        etag = _session(connector).store.put(address, _read_value(options), ttl)
        self.stdout.write(f"Stored; ETag {etag}")

    def delete(self, connector: Connector, options: dict[str, Any]) -> None:
        """Delete a value, after asking."""
        address = Address(options["namespace"], options["key"])
        shown = printable(f"{address.namespace}/{address.key}")
        if not options["yes"]:
            _ask(f"Delete {shown} of {printable(str(connector))}? Type yes: ")
        existed = _session(connector).store.delete(address)
        self.stdout.write("Deleted." if existed else "Nothing was stored there.")

    def list(self, connector: Connector, options: dict[str, Any]) -> None:
        """Print one JSON object a line, all pages."""
        session, namespace, after = _session(connector), options["namespace"], ""
        more = True
        while more and namespace is None:
            page = index.list_namespaces(session.uuid, session.caller, after)
            for row in page.namespaces:
                self.stdout.write(json.dumps({"namespace": row.namespace, "keys": row.keys}))
                after = row.namespace
            more = page.more
        if namespace is None:
            return
        check_namespace(namespace)
        while more:
            keys = index.list_keys(
                session.uuid, session.caller, namespace, options["prefix"], after
            )
            for key in keys.keys:
                line = {"key": key.key, "size": key.size, "ttl": key.ttl_seconds}
                self.stdout.write(json.dumps(line))
            more, after = keys.more, keys.last


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
    if (options["value"] is None) == (options["file"] is None):
        raise CommandError("Give the value by --value or by --file, one of them.")
    if options["value"] is not None:
        value: bytes = options["value"].encode()
    else:
        value = read_file(options["file"])
    if len(value) > settings.STATE_MAX_VALUE_BYTES:
        raise CommandError(f"A value may have at most {settings.STATE_MAX_VALUE_BYTES} bytes.")
    try:
        value.decode()
    except UnicodeDecodeError:
        raise CommandError("The value must be UTF-8 text.") from None
    return value
