"""Conversations in a Dapr state store, over the sidecar's HTTP API.

Contract: dapr-state-chat.md. What it does not say, and real sidecars do: the store compares ETags
only if told so (`first-write`, with each save, or plain saves of that key fail for ever on Redis);
a save without TTL keeps or drops the old one, depending on the store; 409 and 500 both may mean
that the write was applied.
"""

import json
import logging
from datetime import datetime
from urllib.parse import quote

from chat.conversations.state import ConversationKey, ConversationState, key_of
from chat.errors import StoreConflict, StoreMissing, StoreRefused, StoreUnavailable
from chat.repository import Stored, StoreInfo
from chat.repository.payload import pack, unpack
from chat.repository.transport import Answer, Transport

logger = logging.getLogger(__name__)

HEALTH_KEY = "chat-health"  # never written: that it is missing is an answer of the store itself
NEEDED_CAPABILITIES = ("ETAG", "TTL")

# A 400 that is about the sidecar's configuration, not about what was sent.
_MISCONFIGURED = frozenset({"ERR_STATE_STORE_NOT_FOUND", "ERR_STATE_STORE_NOT_CONFIGURED"})


class DaprRepository:
    """The ConversationRepository of one state store component."""

    def __init__(self, transport: Transport, store_name: str, max_state_bytes: int) -> None:
        self._transport = transport
        self._store_name = store_name
        self._max_state_bytes = max_state_bytes
        self._path = f"/v1.0/state/{quote(store_name, safe='')}"

    def get(self, key: ConversationKey, deadline: float) -> Stored:
        """See ConversationRepository."""
        answer = self._transport.get(self._key_path(key), deadline)
        if answer.status == 204:
            raise StoreMissing()
        if answer.status != 200:
            raise self._failed_get(answer, deadline)
        etag = answer.headers.get("ETag", "")
        if not etag or not answer.headers.get("Content-Type", "").startswith("application/json"):
            # Something answers here, but not a sidecar: its words must not pass for corrupt state.
            raise StoreUnavailable("What answers in the sidecar's place is no sidecar.")
        state = unpack(answer.body, key, etag)
        return Stored(state, etag, _expiry(answer.headers.get("Metadata.ttlExpireTime")))

    def save(
        self, state: ConversationState, etag: str | None, ttl_seconds: int, deadline: float
    ) -> None:
        """See ConversationRepository."""
        item = {
            "key": str(key_of(state)),
            **({"etag": etag} if etag is not None else {}),
            "metadata": {"ttlInSeconds": str(ttl_seconds)},
            "options": {"concurrency": "first-write"},
        }
        # The document's own bytes, not encoded a second time.
        value = pack(state, self._max_state_bytes)
        body = b"[" + json.dumps(item).encode()[:-1] + b',"value":' + value + b"}]"
        headers = {"Content-Type": "application/json"}
        answer = self._transport.write("POST", self._path, headers, body, deadline)
        if answer.status == 500 and etag is None:
            # Redis and PostgreSQL say so too when the key exists, which is no outage.
            raise StoreUnavailable(
                "The conversation could not be created; read it again.", is_outage=False
            )
        if answer.status != 204:
            raise _error(answer, "save")

    def delete(self, key: ConversationKey, etag: str, deadline: float) -> None:
        """See ConversationRepository."""
        headers = {"If-Match": etag}
        answer = self._transport.write("DELETE", self._key_path(key), headers, None, deadline)
        if answer.status != 204:
            raise _error(answer, "delete")

    def _failed_get(self, answer: Answer, deadline: float) -> Exception:
        """Return the exception. It is no outage where the store answers for another key."""
        error = _error(answer, "get")
        if isinstance(error, StoreUnavailable):
            error.is_outage = self._ask_for_nothing(deadline).status not in {200, 204}
        return error

    def _ask_for_nothing(self, deadline: float) -> Answer:
        return self._transport.get(f"{self._path}/{HEALTH_KEY}", deadline)

    def check(self, deadline: float) -> StoreInfo:
        """See ConversationRepository. The sidecar's own health says nothing about the store."""
        answer = self._ask_for_nothing(deadline)
        if answer.status not in {200, 204}:
            raise _error(answer, "check")
        answer = self._transport.get("/v1.0/metadata", deadline)
        if answer.status != 200:
            raise _error(answer, "metadata")
        return self._describe(answer.body)

    def _describe(self, metadata: bytes) -> StoreInfo:
        try:
            sidecar = json.loads(metadata)
            component = next(c for c in sidecar["components"] if c["name"] == self._store_name)
            lacks = tuple(c for c in NEEDED_CAPABILITIES if c not in component["capabilities"])
            description = f"{self._store_name}: {component['type']}/{component['version']}"
            if version := sidecar.get("runtimeVersion"):  # the other one is its settings' format
                description += f", runtime {version}"
        except (ValueError, TypeError, LookupError, StopIteration, RecursionError) as error:
            raise StoreUnavailable("The sidecar's metadata don't name the store.") from error
        return StoreInfo("dapr", description, lacks)

    def _key_path(self, key: ConversationKey) -> str:
        return f"{self._path}/{quote(str(key), safe='')}"


def _error(answer: Answer, operation: str) -> Exception:
    """Return the exception that an answer other than success is."""
    code = _error_code(answer.body)
    if answer.status == 409 and operation in {"save", "delete"}:
        return StoreConflict()
    if answer.status in {400, 413} and code not in _MISCONFIGURED and operation != "check":
        logger.warning("the sidecar refused a %s: %s %s", operation, answer.status, code)
        return StoreRefused()
    logger.warning("the sidecar failed a %s: %s %s", operation, answer.status, code)
    return StoreUnavailable()


def _error_code(body: bytes) -> str:
    """Return Dapr's errorCode, "" where the body is none of Dapr's."""
    try:
        code = json.loads(body)["errorCode"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return ""
    return code if isinstance(code, str) and code.replace("_", "").isalnum() else ""


def _expiry(text: str | None) -> datetime | None:
    try:
        expiry = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return expiry if expiry and expiry.tzinfo else None
