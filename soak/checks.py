"""What must hold afterwards: the stores against the journal. Each check returns what it found."""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import zip_longest

from django.utils import timezone
from redis import Redis

from chat.models import Conversation, Turn
from chat.models.turns import CLOCKS_DIFFER, lease_length
from chat.models.users import Task
from connector_state.store.keys import OWN_KEYS, connector_keys
from soak.chaos import CLOCK_STEP_SECONDS
from soak.journal import Chain, Journal
from soak.layout.model import TASK
from soak.layout.production import Layout
from soak.load.http import Session
from soak.load.replays import judge_replay
from soak.load.writers import etag_of
from tests.chat.drive import document

DELETED = "-" * 40
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Checks:
    """The checks, with what they look at."""

    def __init__(self, layout: Layout, journal: Journal) -> None:
        self._layout, self._journal = layout, journal
        self._redis: Redis = layout.redis.primary_client()
        self._chains: dict[str, list[Chain]] = {}
        for chain in journal.chains:
            self._chains.setdefault(chain.uuid, []).append(chain)

    def all(self) -> list[str]:
        """Return all findings, those of the load too."""
        checks: list[Callable[[], Iterator[str]]] = [
            *(self._replays, self._values, self._batches, self._counters, self._index),
            *(self._history, self._audit, self._keys),
            *(self._talks, self._turns, self._tasks, self._leases, self._losses),
        ]
        found = list(self._journal.findings)
        for check in checks:
            name = check.__name__.strip("_")
            try:
                found += [f"{name}: {finding}" for finding in check()]
            except Exception as error:  # a store that is down; the others are looked at
                found.append(f"{name} could not be checked: {error!r}")
        return found

    # --- State ------------------------------------------------------------------------------------

    def _replays(self) -> Iterator[str]:
        """Send again whatever is young enough; _losses judges what was accepted."""
        session = Session(self._journal, str(self._layout.certificate))
        for probe in self._journal.probes:
            if probe.is_young:
                judge_replay(self._journal, session, self._layout.url, probe)
        session.close()
        yield from ()

    def _value(self, uuid: str, member: str) -> str | None:
        raw = self._redis.get(connector_keys(uuid).value_prefix + member)
        return None if raw is None else raw.decode()

    def _values(self) -> Iterator[str]:
        for chain in self._journal.chains:
            found = self._value(chain.uuid, chain.member)
            if found != chain.current:
                before = len(self._journal.findings)
                self._journal.go_back(chain, found)  # older: _losses judges it
                yield from self._journal.findings[before:]

    def _batches(self) -> Iterator[str]:
        for batch in self._journal.batches:
            values = [self._value(chain.uuid, chain.member) for chain in batch]
            numbers = {value and value.rpartition(" ")[2] for value in values}
            if len(numbers) > 1:
                yield f"{batch[0].uuid} {batch[0].member}: a batch by half: {values}"

    def _counters(self) -> Iterator[str]:
        for tally in self._journal.counters:
            text = self._value(tally.uuid, f"{tally.namespace}:{tally.key}")
            value = json.loads(text) if text else {"total": 0, "by": {}}
            if value["total"] != sum(value["by"].values()):
                yield f"{tally.uuid}: its counter is not the sum of its parts: {text}"
            for name, counted in tally.by.items():
                found = value["by"].get(name, 0)
                if found > counted:
                    yield f"{tally.uuid}: {name} counted {counted}, and the counter has {found}"
                for _ in range(counted - found):
                    self._journal.lost(f"a count of {name}", tally.last[name])

    def _index(self) -> Iterator[str]:
        stored = self._scan("dsxconnect:*")
        for uuid in self._chains:
            keys = connector_keys(uuid)
            scanned = {name.removeprefix(keys.value_prefix) for name in stored.get(uuid, ())}
            indexed = {member.decode() for member in self._redis.zrange(keys.named("index"), 0, -1)}
            # Some may have expired while Redis's clock was ahead; the index drops them when due.
            latest = (time.time() + CLOCK_STEP_SECONDS) * 1000
            due = self._redis.zrangebyscore(keys.named("expiries"), "-inf", latest)
            expired = {member.decode() for member in due}
            for member in sorted(scanned - indexed):
                yield f"{uuid} {member} is stored, and not in the index"
            for member in sorted(indexed - scanned - expired):
                yield f"{uuid} {member} is in the index, and not stored"
            yield from self._sizes(uuid, indexed)

    def _sizes(self, uuid: str, indexed: set[str]) -> Iterator[str]:
        keys = connector_keys(uuid)
        sizes = {k.decode(): int(v) for k, v in self._redis.hgetall(keys.named("sizes")).items()}
        total = sizes.pop("total", 0)
        if total != sum(sizes.values()) or set(sizes) != indexed:
            yield f"{uuid}: sizes are wrong: {total} in all, {sum(sizes.values())} by key"
        for member, size in sizes.items():
            stored = self._redis.strlen(keys.value_prefix + member)
            if stored not in (size, 0):
                yield f"{uuid} {member} has {stored} bytes, not {size}"

    def _history(self) -> Iterator[str]:
        """The bytes add up; a chain's log begins with its value, then the one before."""
        for uuid in self._chains:
            fields = self._redis.hgetall(connector_keys(uuid).named("history"))
            total = int(fields.pop(b"\0bytes", 0))
            real = sum(len(value) for name, value in fields.items() if name.startswith(b"\0"))
            if total != real:
                yield f"{uuid}: {total} bytes of versions are counted, {real} are there"
            for chain in self._of(uuid):
                log = fields.get(chain.member.encode(), b"").decode().splitlines()
                etags = [line.split(" ")[1] for line in log]
                current, *earlier = _etags(chain)[::-1] or [None]
                # A deletion is in the log only while it is what came last.
                expected = [current, *(etag for etag in earlier if etag != DELETED)]
                newest = expected[: len(etags[:2]) if self._journal.was_full else 2]
                if etags[:2] != newest and current:
                    yield f"{uuid} {chain.member}: its versions are {etags}, not {expected}"

    def _of(self, uuid: str) -> list[Chain]:
        return [chain for chain in self._chains[uuid] if not chain.rolled_back]

    def _scan(self, pattern: str) -> dict[str, list[str]]:
        """Return the keys of this pattern by the connector that they are of."""
        found: dict[str, list[str]] = {}
        for key in self._redis.scan_iter(pattern, 10_000):
            if of := UUID.search(name := key.decode()):
                found.setdefault(of[0], []).append(name)
        return found

    def _audit(self) -> Iterator[str]:
        """Each write of a chain is in the audit, once and in order; the oldest may be gone."""
        for uuid in self._chains:
            stream = self._redis.xrange(connector_keys(uuid).named("audit"))
            written: dict[str, list[str]] = {}
            for _, entry in stream:
                if entry[b"op"] in (b"put", b"delete"):
                    etag = DELETED if entry[b"op"] == b"delete" else entry[b"etag"].decode()
                    written.setdefault(entry[b"member"].decode(), []).append(etag)
            for chain in self._of(uuid):
                found, expected = written.get(chain.member, []), _etags(chain)
                if found != expected[len(expected) - len(found) :] or (expected and not found):
                    writes = f"{len(found)} of {len(expected)} writes"
                    yield f"{uuid} {chain.member}: the audit has {writes}"

    def _keys(self) -> Iterator[str]:
        """No key but those that are known; each nonce and each count of calls ends."""
        stored = self._scan("statekeep:*")
        for uuid in self._chains:
            own, prefix = connector_keys(uuid), f"statekeep:{{{uuid}}}:"
            ending = (own.nonce_prefix, f"{prefix}calls:", f"{prefix}addresses")
            for name in stored.get(uuid, ()):
                if name.startswith(ending):
                    if self._redis.ttl(name) == -1:
                        yield f"{name} never ends"
                elif name not in own.own:
                    yield f"{name} is left over (known: {', '.join(OWN_KEYS)})"

    # --- Chat -------------------------------------------------------------------------------------

    def _talks(self) -> Iterator[str]:
        """Each document has each message once, in order, with its reply."""
        for talk in self._journal.talks:
            state = document(talk.conversation, talk.user)
            found = [(m.role, m.content) for m in state.messages] if state else []
            expected = [
                entry
                for text in talk.texts
                for entry in (("user", text), ("assistant", f"re: {text}"))
            ]
            if found != expected:
                pairs = enumerate(zip_longest(found, expected))
                at = next(n for n, (one, other) in pairs if one != other)
                sizes = f"{len(found)} messages, not {len(expected)}"
                difference = f"{found[at : at + 2]}, not {expected[at : at + 2]}"
                yield f"{talk.user} {talk.conversation} has {sizes}; from {at}: {difference}"

    @property
    def _users(self) -> set[str]:
        return {talk.user for talk in self._journal.talks}

    def _turns(self) -> Iterator[str]:
        """Each message has one turn, which is stored; turns sort as messages were sent."""
        for talk in self._journal.talks:
            turns = Turn.objects.filter(user_id=talk.user, conversation_id=talk.conversation)
            rows = list(turns.order_by("id").values_list("message", "state", "lease_until"))
            if [message for message, *_ in rows] != talk.texts:
                yield f"{talk.user} {talk.conversation}: the turns are not the messages, in order"
            for message, state, lease in rows:
                if state != Turn.State.STORED or lease is not None:
                    where = f"{talk.user} {talk.conversation} {message!r}"
                    yield f"{where} is {state}, leased until {lease}"

    def _tasks(self) -> Iterator[str]:
        """Each tool call had its effect once."""
        for user in self._users:
            expected = Counter(
                text.removeprefix(TASK)
                for talk in self._journal.talks
                if talk.user == user
                for text in talk.texts
                if text.startswith(TASK)
            )
            found = Counter(Task.objects.filter(user_id=user).values_list("title", flat=True))
            if found != expected:
                yield f"{user}: too many tasks {found - expected}, too few {expected - found}"

    def _leases(self) -> Iterator[str]:
        """No lease lasts longer than a turn may."""
        latest = timezone.now() + lease_length() + CLOCKS_DIFFER
        for rows in (Conversation.objects, Turn.objects):
            for row in rows.filter(user_id__in=self._users, lease_until__gt=latest):
                yield f"{row} is leased until {row.lease_until}"

    # --- Losses -----------------------------------------------------------------------------------

    def _losses(self) -> Iterator[str]:
        """What was lost far from any unplanned fail-over must not have been."""
        for loss in self._journal.losses:
            if not self._journal.may_be_lost(loss):
                yield f"acknowledged, and lost: {loss.what}"


def _etags(chain: Chain) -> list[str]:
    return [etag_of(kept.value) or DELETED for kept in chain.values[1:]]
