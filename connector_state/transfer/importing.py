"""Read an export: compare its lines with the values in Redis, or store them there."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

from django.conf import settings

from connector_state.errors import Corrupt, InvalidRequest, PreconditionFailed, Unavailable
from connector_state.operator_session import OperatorSession
from connector_state.store import audit
from connector_state.store.keys import Address
from connector_state.store.operations import Condition, Entry, Operation, Result
from connector_state.transfer.lines import ExportedKey, Header, read_header, read_keys

BATCH_KEYS = 100
BATCH_BYTES = 1_048_576
PROBLEMS_SHOWN = 20
ATTEMPTS = 5
SAME_EXPIRY_SECONDS = 2  # an export holds the expiry to the second


# How a line of the file compares with the value that is stored under its key: Imported counts them.
_Comparison = Literal["new", "equal", "different", "foreign"]


@dataclass(slots=True)
class Imported:
    """The counts of an import so far, or of its dry run, in keys.

    `new` had no value. `equal` and `different` had one already; `foreign` have a Redis key that is
    not a string. `expired` ended since the export. `problems` describes the first PROBLEMS_SHOWN
    of the `invalid` lines.
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
        """Return the number of keys that had a value already.

        People who may not see values are shown this sum only: `equal` and `different` would tell
        them whether a stored value is the one in their file.
        """
        return self.equal + self.different


def header_of(file: BinaryIO) -> Header:
    """Rewind the file and return its header.

    Raises:
        InvalidRequest: code `invalid_export`: the file is not an export.
    """
    file.seek(0)
    return read_header(file)


def preview(session: OperatorSession, file: BinaryIO, total: Imported) -> Iterator[None]:
    """Compare a file with the stored values; yield after each batch.

    Args:
        total: the counts, updated with each batch.

    Raises:
        InvalidRequest: code `invalid_export`: the file is not an export.
        Unavailable: Redis did not answer.
    """
    audit.record_comparison(session.uuid, session.username, session.address)
    for batch in _batches(file, total):
        _count(total, _compare(session, _unexpired(batch, total)))
        yield


def import_file(
    session: OperatorSession, file: BinaryIO, total: Imported, *, overwrite: bool
) -> Iterator[None]:
    """Store the values of a file; yield after each batch, which is stored whole or not at all.

    Nothing is stored unless the file is complete and each of its lines is valid. Values that have
    expired since the export are left out. It is safe to run the same import again.

    Args:
        total: the counts, updated with each batch.
        overwrite: replace existing values; otherwise they are kept.

    Raises:
        InvalidRequest: code `invalid_export`.
        Forbidden: code `quota_exceeded`; the batches before this one are stored.
        Unavailable: Redis did not answer; the batches before this one are stored.
    """
    # The file is read twice: a bad line at its end must stop the import before anything is stored.
    checked = Imported()
    for _ in _batches(file, checked):
        pass
    if checked.invalid:
        raise InvalidRequest(
            f"{checked.invalid} of its lines can't be imported, so nothing was. "
            f"{checked.problems[0]}",
            code="invalid_export",
        )
    audit.record_comparison(session.uuid, session.username, session.address)
    for batch in _batches(file, total):
        _store(session, batch, total, overwrite=overwrite)
        yield


def _batches(file: BinaryIO, total: Imported) -> Iterator[list[ExportedKey]]:
    """Yield the valid lines in batches, and count the invalid ones in `total`."""
    header_of(file)
    batch: dict[Address, ExportedKey] = {}
    size = 0
    for read in read_keys(file, settings.STATE_MAX_VALUE_BYTES):
        if isinstance(read, str):
            total.invalid += 1
            if len(total.problems) < PROBLEMS_SHOWN:
                total.problems.append(read)
            continue
        if len(batch) == BATCH_KEYS or size >= BATCH_BYTES:
            yield list(batch.values())
            batch, size = {}, 0
        # A script takes each key once, so the last line of a key in a batch wins.
        batch[read.address] = read
        size += len(read.value)
    if batch:
        yield list(batch.values())


def _store(
    session: OperatorSession, batch: list[ExportedKey], total: Imported, *, overwrite: bool
) -> None:
    lines = _unexpired(batch, total)
    for _ in range(ATTEMPTS):
        compared = _compare(session, lines)
        writes = [
            _put(line, comparison)
            for line, comparison in zip(lines, compared, strict=True)
            if comparison == "new" or (overwrite and comparison != "foreign")
        ]
        try:
            if writes:
                session.store.operate(writes)
        except PreconditionFailed:
            continue  # the connector has created one of the new keys since the comparison
        _count(total, compared)
        return
    raise Unavailable("The connector keeps writing the same keys. Stop it, and run this again.")


def _put(line: ExportedKey, comparison: _Comparison) -> Operation:
    left = _seconds_left(line)
    ttl_seconds = None if left is None else max(1, left)
    condition = Condition(if_none_match="*" if comparison == "new" else "")
    return Operation("put", line.address, line.value, ttl_seconds, condition)


def _count(total: Imported, compared: list[_Comparison]) -> None:
    total.new += compared.count("new")
    total.equal += compared.count("equal")
    total.different += compared.count("different")
    total.foreign += compared.count("foreign")


def _unexpired(batch: list[ExportedKey], total: Imported) -> list[ExportedKey]:
    """Return the lines that have not expired since the export; count the others."""
    lines = [line for line in batch if (left := _seconds_left(line)) is None or left > 0]
    total.expired += len(batch) - len(lines)
    return lines


def _seconds_left(line: ExportedKey) -> int | None:
    if line.expires_at is None:
        return None
    return math.ceil(line.expires_at.timestamp() - time.time())


def _compare(session: OperatorSession, lines: list[ExportedKey]) -> list[_Comparison]:
    results = _stored(session, [line.address for line in lines])
    return [_compare_one(line, result) for line, result in zip(lines, results, strict=True)]


def _stored(session: OperatorSession, addresses: list[Address]) -> list[Result | Corrupt]:
    """Return the values at the addresses; Corrupt where the Redis key is not a string."""
    try:
        return list(session.store.operate([Operation("get", address) for address in addresses]))
    except Corrupt as corrupt:
        if len(addresses) == 1:
            return [corrupt]
        # The script fails as a whole, without naming the key: look at each on its own.
        return [result for address in addresses for result in _stored(session, [address])]


def _compare_one(line: ExportedKey, stored: Result | Corrupt) -> _Comparison:
    if stored is None:
        return "new"
    if not isinstance(stored, Entry):
        return "foreign"
    left, ttl = _seconds_left(line), stored.ttl_seconds
    same_expiry = (
        ttl == left if left is None or ttl is None else abs(left - ttl) <= SAME_EXPIRY_SECONDS
    )
    return "equal" if stored.value == line.value and same_expiry else "different"
