"""The public keys at JWT_JWKS_URL, cached.

An unknown key id makes a process fetch the keys again, but at most every ASK_AGAIN_SECONDS, so that
invented key ids can't flood the URL. A thread fetches them: however slow the answer is, at most
WAITING_MAX requests wait, and none longer than WAIT_SECONDS. While the URL does not answer, the
cached keys stay in use.
"""

import json
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import requests
from django.conf import settings

from chat import outgoing
from chat.api.bearer.jwk import VerificationKey, read_key
from chat.errors import TokenRefused, Unavailable

logger = logging.getLogger(__name__)

WAIT_SECONDS = 2.0
WAITING_MAX = 4  # requests in each process
ASKING_MAX = 3  # threads, so that an answer that never ends does not block the next fetch
KEEP_SECONDS = 300.0
ASK_AGAIN_SECONDS = 10.0
ANSWER_MAX_BYTES = 262_144
CHUNK_BYTES = 16_384

Keys = tuple[VerificationKey, ...]


class _KeySet:
    """The keys that the URL gave when it last answered."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._lock = threading.Lock()
        self._waiting = threading.BoundedSemaphore(WAITING_MAX)
        self._keys: Keys = ()
        self._read_at = self._asked_at = float("-inf")
        self._asking: list[threading.Thread] = []

    def find(self, key_id: str | None, algorithm: str) -> Any:
        """Return the public key with this id. None: the only one that is good for the algorithm.

        Raises:
            TokenRefused: there is no such key.
            Unavailable: it is not cached, and the URL does not answer.
        """
        found = self._named(key_id, algorithm)
        if not found or time.monotonic() - self._read_at >= KEEP_SECONDS:
            self._refresh()
            found = self._named(key_id, algorithm)
        good = [each.key for each in found if algorithm in each.algorithms]
        if good and (key_id is not None or len(good) == 1):
            return good[0]
        if not found and self._read_at < self._asked_at:
            raise Unavailable(
                "The keys to check tokens by can't be had right now. Try again.",
                code="jwks_unavailable",
            )
        raise TokenRefused(reason=_reason(key_id, algorithm, len(found), len(good)))

    def _named(self, key_id: str | None, algorithm: str) -> Keys:
        if key_id is None:
            return tuple(each for each in self._keys if algorithm in each.algorithms)
        return tuple(each for each in self._keys if each.key_id == key_id)

    def _refresh(self) -> None:
        """Start to fetch the keys if it is time, and wait a little for the newest answer."""
        with self._lock:
            self._asking = [thread for thread in self._asking if thread.is_alive()]
            is_time = time.monotonic() - self._asked_at >= ASK_AGAIN_SECONDS
            if is_time and len(self._asking) < ASKING_MAX:
                self._asked_at = time.monotonic()
                thread = threading.Thread(target=self._ask, args=(self._asked_at,), daemon=True)
                thread.start()
                self._asking.append(thread)
            newest, asked_at = self._asking[-1:], self._asked_at
        if newest and self._waiting.acquire(blocking=False):
            try:
                newest[0].join(max(0.0, asked_at + WAIT_SECONDS - time.monotonic()))
            finally:
                self._waiting.release()

    def _ask(self, asked_at: float) -> None:
        try:
            keys = _fetch(settings.JWT_JWKS_URL)
        except Exception as error:  # the URL may send anything
            logger.error("JWT_JWKS_URL gives no keys: %s", _in_a_line(error))
            return
        with self._lock:
            if asked_at == self._asked_at:  # else a later fetch has begun, and decides
                self._keys, self._read_at = keys, time.monotonic()


_key_set = _KeySet()
find_key = _key_set.find
forget_keys = _key_set.clear


def _in_a_line(error: Exception) -> str:
    """Return what an operator needs: a TLS error says which certificate is not trusted."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _reason(key_id: str | None, algorithm: str, found: int, good: int) -> str:
    if key_id is None:
        return f"it names no kid, and {good} keys of the JWKS are good for {algorithm}"
    if found:
        return f"the key of its kid is not for {algorithm}"
    return "its kid is none of the JWKS"


def _fetch(url: str) -> Keys:
    """Return the keys at a URL that verify signatures."""
    with outgoing.session(url) as session:
        answer = session.get(url, timeout=WAIT_SECONDS, allow_redirects=False, stream=True)
        content = b"".join(_chunks(answer))
    if answer.status_code != 200:
        raise ValueError(f"the answer's status is {answer.status_code}")
    return _read(content)


def _read(content: bytes) -> Keys:
    """Return the keys in a JWKS that verify signatures; what is unknown in it is skipped.

    Raises:
        ValueError: it is no JWKS, or holds no key of a kind that we know.
    """
    document = json.loads(content)
    entries = document.get("keys") if isinstance(document, dict) else None
    keys = [read_key(entry) for entry in entries] if isinstance(entries, list) else []
    if not any(keys):
        raise ValueError("the answer is no key set")
    return tuple(key for key in keys if key is not None and key.algorithms)


def _chunks(answer: requests.Response) -> Iterator[bytes]:
    """Yield the body; raise ValueError when it is too long or takes too long."""
    give_up_at, size = time.monotonic() + WAIT_SECONDS, 0
    while chunk := answer.raw.read1(CHUNK_BYTES, decode_content=True):
        size += len(chunk)
        if size > ANSWER_MAX_BYTES or time.monotonic() > give_up_at:
            raise ValueError("the answer is too long, or too slow")
        yield chunk
