"""From the lines of an export to Redis."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import BinaryIO

from django.conf import settings

from connector_state.errors import Corrupt, InvalidRequest, PreconditionFailed, Unavailable
from connector_state.store import audit
from connector_state.store.keys import Address
from connector_state.store.operator_session import OperatorSession
from connector_state.store.values import Condition, Entry, Operation, Result
from connector_state.transfer.lines import ExportedKey, Header, Problem, read_header, read_keys

BATCH_KEYS = 100
BATCH_BYTES = 1_048_576
PROBLEMS_TOLD = 20
ATTEMPTS = 5
SAME_EXPIRY_SECONDS = 2  # an export tells it to the second


class _Standing(Enum):
    """What stands where a line of the file goes."""

    NEW = auto()
    EQUAL = auto()
    DIFFERENT = auto()
    FOREIGN = auto()


@dataclass(slots=True)
class Imported:
    """What an import did so far, or would do.

    `equal` and `different` are those that stood there already, `foreign` those where something
    stands that is no value. The first PROBLEMS_TOLD of the `invalid` lines are told.
    """

    new: int = 0
    equal: int = 0
    different: int = 0
    expired: int = 0
    foreign: int = 0
    invalid: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def existing(self) -> int:
        """Those that stood there already. Who may not see values may know no more than this."""
        return self.equal + self.different


def header_of(file: BinaryIO) -> Header:
    """Return the header of an export, from its beginning.

    Raises:
        InvalidRequest: this is no export.
    """
    file.seek(0)
    return read_header(file)


def preview(session: OperatorSession, file: BinaryIO, total: Imported) -> Iterator[None]:
    """Compare a whole file with what stands there; yield after each batch.

    Args:
        total: where it is counted.

    Raises:
        InvalidRequest: this is no export.
        Unavailable: Redis did not answer.
    """
    audit.record_comparison(session.uuid, session.username)
    for batch in _batches(file, total):
        _count(total, _standings(session, _living(batch, total)))
        yield


def import_file(
    session: OperatorSession, file: BinaryIO, total: Imported, *, overwrite: bool
) -> Iterator[None]:
    """Store what a file holds; yield after each batch, which is stored whole or not at all.

    Nothing is stored unless every line of the file is valid and it is whole. What has expired
    since it was exported is left out. Safe to run again.

    Args:
        total: where it is counted, batch by batch.
        overwrite: replace what exists, rather than keep it.

    Raises:
        InvalidRequest: code `invalid_export`.
        Forbidden: code `quota_exceeded`; the batches before are stored.
        Unavailable: Redis did not answer; the batches before are stored.
    """
    checked = Imported()
    for _ in _batches(file, checked):
        pass
    if checked.invalid:
        raise InvalidRequest(
            f"{checked.invalid} of its lines can't be imported, so nothing was. "
            f"{checked.problems[0]}",
            code="invalid_export",
        )
    audit.record_comparison(session.uuid, session.username)
    for batch in _batches(file, total):
        _store(session, batch, total, overwrite=overwrite)
        yield


def _batches(file: BinaryIO, total: Imported) -> Iterator[list[ExportedKey]]:
    """Yield the valid lines in batches, in which the last one of a key holds; count the others."""
    header_of(file)
    batch: dict[Address, ExportedKey] = {}
    size = 0
    for read in read_keys(file, settings.STATE_MAX_VALUE_BYTES):
        if isinstance(read, Problem):
            total.invalid += 1
            if len(total.problems) < PROBLEMS_TOLD:
                total.problems.append(read.text)
            continue
        if len(batch) == BATCH_KEYS or size >= BATCH_BYTES:
            yield list(batch.values())
            batch, size = {}, 0
        batch[read.address] = read
        size += len(read.value)
    if batch:
        yield list(batch.values())


def _store(
    session: OperatorSession, batch: list[ExportedKey], total: Imported, *, overwrite: bool
) -> None:
    living = _living(batch, total)
    for _ in range(ATTEMPTS):
        standings = _standings(session, living)
        writes = [
            _put(read, standing)
            for read, standing in zip(living, standings, strict=True)
            if standing is _Standing.NEW or (overwrite and standing is not _Standing.FOREIGN)
        ]
        try:
            if writes:
                session.store.operate(writes)
        except PreconditionFailed:
            continue  # the connector wrote one of them since it was looked at
        _count(total, standings)
        return
    raise Unavailable("The connector keeps writing the same keys. Stop it, and run this again.")


def _put(read: ExportedKey, standing: _Standing) -> Operation:
    """What is replaced is replaced whatever it is: an equal value is no less recorded."""
    left = _seconds_left(read)
    return Operation(
        "put",
        read.address,
        read.value,
        None if left is None else max(1, left),
        Condition(if_none_match="*") if standing is _Standing.NEW else Condition(),
    )


def _count(total: Imported, standings: list[_Standing]) -> None:
    total.new += standings.count(_Standing.NEW)
    total.equal += standings.count(_Standing.EQUAL)
    total.different += standings.count(_Standing.DIFFERENT)
    total.foreign += standings.count(_Standing.FOREIGN)


def _living(batch: list[ExportedKey], total: Imported) -> list[ExportedKey]:
    """Return those that have not expired since they were exported; count the others."""
    living = [read for read in batch if (left := _seconds_left(read)) is None or left > 0]
    total.expired += len(batch) - len(living)
    return living


def _seconds_left(read: ExportedKey) -> int | None:
    if read.expires_at is None:
        return None
    return math.ceil(read.expires_at.timestamp() - time.time())


def _standings(session: OperatorSession, living: list[ExportedKey]) -> list[_Standing]:
    results = _stored(session, [read.address for read in living])
    return [_standing(read, result) for read, result in zip(living, results, strict=True)]


def _stored(session: OperatorSession, addresses: list[Address]) -> list[Result | Corrupt]:
    """Return what stands at the addresses; Corrupt where it is no value."""
    try:
        return list(session.store.operate([Operation("get", address) for address in addresses]))
    except Corrupt as corrupt:
        if len(addresses) == 1:
            return [corrupt]
        return [result for address in addresses for result in _stored(session, [address])]


def _standing(read: ExportedKey, stored: Result | Corrupt) -> _Standing:
    if stored is None:
        return _Standing.NEW
    if not isinstance(stored, Entry):
        return _Standing.FOREIGN
    left, lives = _seconds_left(read), stored.ttl_seconds
    same_expiry = (
        lives == left if left is None or lives is None else abs(left - lives) <= SAME_EXPIRY_SECONDS
    )
    equal = stored.value == read.value and same_expiry
    return _Standing.EQUAL if equal else _Standing.DIFFERENT
