"""The public keys at JWT_JWKS_URL, kept for a while.

A key id that is unknown asks the URL again, but not more often than every few seconds, whoever
invents key ids. Keys that are known are used on while the URL does not answer.
"""

import logging
import threading
import time
from typing import Any

import jwt
import requests
from django.conf import settings

from chat.errors import TokenRefused, Unavailable

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 2.0
KEEP_SECONDS = 300.0
ASK_AGAIN_SECONDS = 10.0
ANSWER_MAX_BYTES = 262_144


class _Keys:
    """The keys of one URL, as they were when it was asked last."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._lock = threading.Lock()
        self._keys: dict[str, Any] = {}
        self._read_at = self._asked_at = float("-inf")

    def find(self, key_id: str) -> Any:
        now = time.monotonic()
        key = self._keys.get(key_id)
        if key is not None and now - self._read_at < KEEP_SECONDS:
            return key
        # One thread asks; the others go by what is known.
        if now - self._asked_at >= ASK_AGAIN_SECONDS and self._lock.acquire(
            blocking=not self._keys
        ):
            try:
                if time.monotonic() - self._asked_at >= ASK_AGAIN_SECONDS:
                    self._ask()
            finally:
                self._lock.release()
        key = self._keys.get(key_id)
        if key is not None:
            return key
        if not self._keys:
            raise Unavailable(
                "The keys to check tokens by can't be had right now. Try again.",
                code="jwks_unavailable",
            )
        raise TokenRefused()

    def _ask(self) -> None:
        self._asked_at = time.monotonic()
        try:
            keys = _fetch(settings.JWT_JWKS_URL)
        except (
            requests.RequestException,
            jwt.PyJWTError,
            ValueError,
            TypeError,
            KeyError,
        ) as error:
            logger.error("the JWKS URL gives no keys: %r", error)
            return
        self._keys, self._read_at = keys, time.monotonic()


_keys = _Keys()
find_key = _keys.find
forget_keys = _keys.clear


def _fetch(url: str) -> dict[str, Any]:
    """Return the RSA signing keys by their ids."""
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(url, timeout=TIMEOUT_SECONDS, allow_redirects=False, stream=True)
        content = answer.raw.read(ANSWER_MAX_BYTES + 1, decode_content=True)
        answer.raise_for_status()
    if len(content) > ANSWER_MAX_BYTES or answer.status_code != 200:
        raise ValueError("the answer is no key set")
    key_set = jwt.PyJWKSet.from_json(content.decode())
    return {
        key.key_id: key.key
        for key in key_set.keys
        if key.key_id and key.key_type == "RSA" and key.public_key_use in (None, "sig")
    }
