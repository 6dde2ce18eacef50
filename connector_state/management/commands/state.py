"""`manage.py state get|put|list|delete|history|restore`: values, for operators."""

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from datetime import datetime
from itertools import chain
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.template.defaultfilters import filesizeformat
from django.utils.formats import date_format

from common.events.changes import record_command
from common.events.models import Event
from common.visible import printable
from connector_state.core.parameters import TTL_MAX_SECONDS
from connector_state.management.base import ConnectorCommand, operator_name
from connector_state.management.files import read_file
from connector_state.models import Connector
from connector_state.operator_session import OperatorSession, named
from connector_state.store import audit
from connector_state.store.keys import Address
from connector_state.store.operations import Entry
from connector_state.store.policy import hold_writes


class Command(ConnectorCommand):
    help = (
        "Read, store, list, delete and restore a connector's values. The audit records all of this "
        "except listings, which show no value."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        get = actions.add_parser("get", help="print a value")
        get.add_argument("--raw", action="store_true", help="print the bytes unescaped")
        get.add_argument("--version", metavar="ETAG", help="an earlier value, as listed by history")
        put = actions.add_parser("put", help="store a value, within the connector's quota")
        put.add_argument("--value", help="the value (default: read from --file)")
        put.add_argument("--file", help="a file with the value; - for standard input")
        put.add_argument("--ttl", type=int, metavar="SECONDS", help="default: never expires")
        delete = actions.add_parser("delete", help="delete a value")
        delete.add_argument("--yes", action="store_true", help="do not ask for confirmation")
        delete.add_argument(
            "--with-history", action="store_true", help="delete its earlier values too"
        )
        history = actions.add_parser("history", help="list the earlier values of a key")
        restore = actions.add_parser("restore", help="store an earlier value again")
        for action in (get, put, delete, history, restore):
            super().add_arguments(action)
            action.add_argument("namespace", metavar="NAMESPACE")
            action.add_argument("key", metavar="KEY")
        restore.add_argument("etag", metavar="ETAG", help="the ETag that history lists")
        restore.add_argument(
            "--hold-writes",
            action="store_true",
            help="make the connector read-only first: a running connector has its cursor in "
            "memory, and would overwrite the restored value",
        )
        listing = actions.add_parser("list", help="list namespaces, or the keys of one")
        super().add_arguments(listing)
        listing.add_argument("namespace", nargs="?", metavar="NAMESPACE")
        listing.add_argument("--prefix", default="")

    def handle_connector(self, connector: Connector, options: dict[str, Any]) -> None:
        session = OperatorSession.of(connector, operator_name())
        if options["action"] == "list":
            self.list(session, options["namespace"], options["prefix"])
            return
        address = Address(options["namespace"], options["key"])
        if options["action"] == "delete" and not options["yes"]:
            shown = printable(f"{address.namespace}/{address.key}")
            what = f"{shown} and its history" if options["with_history"] else shown
            _ask(f"Delete {what} of {printable(str(connector))}? Type yes: ")
        getattr(self, options["action"])(session, address, options | {"connector": connector})

    def get(self, session: OperatorSession, address: Address, options: dict[str, Any]) -> None:
        """Print a value, escaped unless --raw."""
        audit.record_read(session.uuid, session.username, address)
        if etag := options["version"]:
            entry: Entry | None = Entry(session.version(address, etag), etag, None)
        else:
            entry = session.store.get(address)
        if entry is None:
            raise CommandError("Nothing is stored there.")
        if options["raw"]:
            sys.stdout.flush()
            sys.stdout.buffer.write(entry.value)
            return
        self.stdout.write(printable(entry.value.decode(errors="backslashreplace")))
        about = f"ETag {entry.etag}, {filesizeformat(len(entry.value))}"
        if not etag:
            ttl = entry.ttl_seconds
            about += ", never expires" if ttl is None else f", expires in {ttl} s"
        self.stderr.write(about)

    def put(self, session: OperatorSession, address: Address, options: dict[str, Any]) -> None:
        """Store a value of --value or --file."""
        ttl = options["ttl"]
        if ttl is not None and not 1 <= ttl <= TTL_MAX_SECONDS:
            raise CommandError(f"--ttl must be from 1 to {TTL_MAX_SECONDS} seconds.")
        etag = session.store.put(address, _read_value(options), ttl)
        _record(options["connector"], f"Stored {named(address)}")
        self.stdout.write(f"Stored; ETag {etag}")

    def delete(self, session: OperatorSession, address: Address, options: dict[str, Any]) -> None:
        """Delete a value; unless --yes was given, the operator has been asked."""
        existed = session.store.delete(address, with_history=options["with_history"])
        if existed or options["with_history"]:
            history = " and its history" if options["with_history"] else ""
            _record(options["connector"], f"Deleted {named(address)}{history}")
        self.stdout.write("Deleted." if existed else "Nothing was stored there.")

    def history(self, session: OperatorSession, address: Address, _: dict[str, Any]) -> None:
        """Print the earlier values of a key, newest first, as one JSON object a line."""
        history = session.history(address)
        if history.deleted_at:
            at = date_format(history.deleted_at, "DATETIME_FORMAT")
            self.stderr.write(f"It was deleted, or expired, at {at}.")
        for version in history.versions:
            times = {name: _time(getattr(version, name)) for name in ("written_at", "expires_at")}
            self.stdout.write(json.dumps(asdict(version) | times))

    def hold_writes(self, connector: Connector) -> None:
        """Make the connector read-only, and say how to undo that."""
        hold_writes(connector)
        _record(connector, "Held the writes")
        self.stderr.write(
            "The connector is read-only now. Restart it, so that it reads the restored value, then "
            f"allow writes: manage.py set_policy {connector.pk} --no-read-only"
        )

    def restore(self, session: OperatorSession, address: Address, options: dict[str, Any]) -> None:
        """Store an earlier value again, unless another one is written at the same time."""
        etag = options["etag"]
        session.version(address, etag)  # one that is gone changes no policy
        if options["hold_writes"]:
            self.hold_writes(options["connector"])
        current = session.store.get(address)
        if current and current.etag == etag:
            self.stdout.write("This value is stored already; nothing was changed.")
            return
        session.restore(address, etag, if_match=current.etag if current else None)
        _record(options["connector"], f"Restored an earlier value of {named(address)}")
        self.stdout.write("Restored; it never expires.")

    def list(self, session: OperatorSession, namespace: str | None, prefix: str) -> None:
        """Print all namespaces, or all keys of one, as one JSON object a line."""
        if namespace is None:
            for row in session.namespaces():
                self.stdout.write(json.dumps(asdict(row)))
            return
        for key in chain.from_iterable(session.key_pages(namespace, prefix)):
            shown = {"key": key.key, "size": key.size, "ttl": key.ttl_seconds}
            self.stdout.write(json.dumps(shown))


def _record(connector: Connector, what: str) -> None:
    words = f"{what} of {connector}."
    record_command(Event.Kind.CHANGE, Event.Area.STATE, words, **connector.event_subject)


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="milliseconds")


def _ask(question: str) -> None:
    try:
        answer = input(question)
    except EOFError:
        raise CommandError("Nothing was deleted; say --yes.") from None
    if answer != "yes":
        raise CommandError("Nothing was deleted.")


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
