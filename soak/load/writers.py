"""Connectors under load: each writer has chains of values, and shares counters with others."""

import hashlib
import json
import random
import time
from itertools import count

from client.statekeep_client import (
    OutcomeUnknown,
    PreconditionFailed,
    Put,
    RateLimited,
    StateClient,
    Unavailable,
)
from soak.journal import Acknowledged, Chain, Journal, Probe, Tally
from soak.load.http import Session
from soak.load.replays import judge_replay, send
from tests.connectors import SigningConnector

NAMESPACE = "soak"
CHAINS, BATCH_KEYS = 4, 3
PAUSE_SECONDS = (0.0, 0.05)
AGAIN_SECONDS = 0.2


class Writer:
    """One who works for a connector, with keys of its own."""

    def __init__(
        self,
        journal: Journal,
        connector: SigningConnector,
        url: str,
        name: str,
        tally: Tally,
        seed: str,
        session: Session,
    ) -> None:
        self._journal, self._connector, self._name, self._tally = journal, connector, name, tally
        self._random = random.Random(seed)
        self._session, self._url = session, url
        self._client = StateClient(
            url,
            connector.uuid,
            connector.key_id,
            connector.secret,
            session=self._session,
            attempts=1,
        )
        self._numbers = count(1)
        self._chains = [self._chain(f"{name} {n}") for n in range(CHAINS)]
        self._batch = [self._chain(f"{name} batch {n}") for n in range(BATCH_KEYS)]
        with journal.lock:
            journal.chains += self._chains + self._batch
            journal.batches.append(self._batch)

    def _chain(self, key: str) -> Chain:
        return Chain(self._connector.uuid, NAMESPACE, key)

    def step(self) -> None:
        """Make a call, and repeat it until it is known what became of it."""
        steps = [self._put] * 4 + [self._count] * 3 + [self._read] * 3
        steps += [self._delete, self._put_batch, self._put_expiring, self._list, self._probe]
        steps += [self._replay]
        step = self._random.choice(steps)
        try:
            step()
        except Exception as error:
            self._journal.found(f"{step.__name__} of {self._name}: {error!r}")

    # --- Chains -----------------------------------------------------------------------------------

    def _put(self) -> None:
        chain = self._random.choice(self._chains)
        self._write(chain, f"{chain.uuid} {chain.member} {next(self._numbers)}")
        self._journal.count("puts")

    def _delete(self) -> None:
        chain = self._random.choice(self._chains)
        if chain.current is not None and not chain.may_come_back:
            self._write(chain, None)
            self._journal.count("deletes")

    def _write(self, chain: Chain, new: str | None) -> None:
        """Write it over the value before, again and again until the outcome is known."""
        while True:
            etag = etag_of(chain.current)
            try:
                if new is None:
                    self._client.delete(chain.namespace, chain.key, if_match=etag)
                else:
                    none = None if etag else "*"
                    self._client.put(
                        chain.namespace, chain.key, new, if_match=etag, if_none_match=none
                    )
            except PreconditionFailed:
                found = self._client_get(chain)
                if found == new:
                    break
                self._journal.go_back(chain, found)
                if chain.current is None and new is None:
                    return
            except (OutcomeUnknown, Unavailable, RateLimited):
                chain.may_come_back |= etag is None
                self._pause()
            else:
                break
        chain.values.append(Acknowledged(new, time.monotonic()))

    def _client_get(self, chain: Chain | Tally) -> str | None:
        while True:
            try:
                found = self._client.get(chain.namespace, chain.key)
            except (Unavailable, RateLimited):
                self._pause()
            else:
                return found.value if found else None

    def _read(self) -> None:
        chain = self._random.choice(self._chains)
        found = self._client_get(chain)
        self._journal.count("reads")
        if found != chain.current:
            self._journal.go_back(chain, found)

    def _put_batch(self) -> None:
        """All keys of the batch get the same number, or none does."""
        number = next(self._numbers)
        new = [f"{chain.uuid} {chain.member} {number}" for chain in self._batch]
        while True:
            puts = [
                Put(c.key, v, if_match=etag_of(c.current), if_none_match=None if c.current else "*")
                for c, v in zip(self._batch, new, strict=True)
            ]
            try:
                self._client.batch(NAMESPACE, puts)
            except PreconditionFailed:
                found = [self._client_get(chain) for chain in self._batch]
                if found == new:
                    break
                for chain, value in zip(self._batch, found, strict=True):
                    self._journal.go_back(chain, value)
            except (OutcomeUnknown, Unavailable, RateLimited):
                self._pause()
            else:
                break
        for chain, value in zip(self._batch, new, strict=True):
            chain.values.append(Acknowledged(value, time.monotonic()))
        self._journal.count("batches")

    # --- Others -----------------------------------------------------------------------------------

    def _count(self) -> None:
        """Count one up by compare-and-swap; the value says who has counted how often."""
        tally, wanted = self._tally, self._tally.by[self._name] + 1
        while True:
            text = self._client_get(tally)
            by = json.loads(text)["by"] if text else {}
            if by.get(self._name, 0) == wanted:
                break
            if by.get(self._name, 0) < wanted - 1:
                for _ in range(wanted - 1 - by.get(self._name, 0)):
                    self._journal.lost(f"a count of {self._name}", tally.last.get(self._name, 0.0))
                wanted = by.get(self._name, 0) + 1
            elif by.get(self._name, 0) > wanted:
                self._journal.found(f"{self._name} counted {wanted}, the counter says {by}")
            by[self._name] = wanted
            new = json.dumps({"total": sum(by.values()), "by": by})
            etag = etag_of(text)
            try:
                self._client.put(
                    tally.namespace,
                    tally.key,
                    new,
                    if_match=etag,
                    if_none_match=None if etag else "*",
                )
            except PreconditionFailed:
                continue
            except (OutcomeUnknown, Unavailable, RateLimited):
                self._pause()
                continue
            break
        tally.by[self._name], tally.last[self._name] = wanted, time.monotonic()
        self._journal.count("counts")

    def _put_expiring(self) -> None:
        key = f"{self._name} expiring {self._random.randrange(20)}"
        try:
            self._client.put(NAMESPACE, key, "soon gone", ttl=self._random.choice([1, 2, 300]))
        except (OutcomeUnknown, Unavailable, RateLimited):
            return
        self._journal.expiring.add((self._connector.uuid, f"{NAMESPACE}:{key}"))

    def _list(self) -> None:
        try:
            listed = {info.key for info in self._client.keys(NAMESPACE, f"{self._name} ")}
        except (Unavailable, RateLimited):
            return
        self._journal.count("listings")
        for chain in self._chains:
            if (chain.current is not None) != (chain.key in listed):
                found = self._client_get(chain)
                if found == chain.current:
                    self._journal.found(f"the list of {self._connector.uuid} is wrong: {chain.key}")
                else:
                    self._journal.go_back(chain, found)

    def _probe(self) -> None:
        """Send a request that will be sent again."""
        number = next(self._numbers)
        target = self._connector.path(NAMESPACE, f"{self._name} probe")
        body = str(number).encode()
        authorization = self._connector.authorization("PUT", target, body)
        probe = Probe(target, body, authorization, time.monotonic())
        status, _ = send(self._session, self._url, probe)
        if status == 204:
            with self._journal.lock:
                self._journal.probes.append(probe)

    def _replay(self) -> None:
        recent = [p for p in self._journal.probes[-200:] if p.is_young]
        if recent:
            judge_replay(self._journal, self._session, self._url, self._random.choice(recent))

    def _pause(self) -> None:
        time.sleep(AGAIN_SECONDS)
        if time.monotonic() > self._journal.give_up_at:
            raise TimeoutError("the outcome of a call did not become known")


def etag_of(value: str | None) -> str | None:
    """Return the ETag of a value, None for none."""
    return None if value is None else hashlib.sha1(value.encode()).hexdigest()
