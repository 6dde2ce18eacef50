"""Conversations in a Dapr state store, over the sidecar's HTTP API.

The contract is dapr-state-chat.md. Real sidecars also do what it does not say:

- A save without an ETag overwrites, unless it asks for `first-write`. Each save here asks for it:
  on Redis, once a key was saved with it, a save with neither fails with a 500.
- A save without a TTL keeps the old TTL or removes it, depending on the store.
- After a 409, and after a 500, the write may have been carried out.
"""

import json
import logging
from datetime import datetime
from urllib.parse import quote

from chat.conversations.state import ConversationKey, ConversationState, key_of
from chat.errors import SaveFailed, StoreConflict, StoreMissing, StoreRefused, StoreUnavailable
from chat.repository import StoredConversation, StoreInfo
from chat.repository.payload import pack, unpack
from chat.repository.transport import Answer, Transport

logger = logging.getLogger(__name__)

# Never written. That it is missing is an answer from the store, not only from the sidecar.
HEALTH_KEY = "chat-health"
NEEDED_CAPABILITIES = ("ETAG", "TTL")

# The codes of a 400 that is about the sidecar's configuration, not about the request.
_NOT_ALLOWED = frozenset({403, 404, 501})
_MISCONFIGURED = frozenset({"ERR_STATE_STORE_NOT_FOUND", "ERR_STATE_STORE_NOT_CONFIGURED"})


class DaprRepository:
    """The ConversationRepository on a state store component of the sidecar."""

    def __init__(self, transport: Transport, store_name: str, max_state_bytes: int) -> None:
        self._transport = transport
        self._store_name = store_name
        self._max_state_bytes = max_state_bytes
        self._path = f"/v1.0/state/{quote(store_name, safe='')}"

    def get(self, key: ConversationKey, deadline: float) -> StoredConversation:
        answer = self._transport.get(self._key_path(key), deadline)
        if answer.status == 204:
            raise StoreMissing()
        if answer.status != 200:
            raise self._failed(answer, "get", deadline)
        etag = answer.headers.get("ETag", "")
        if not etag or not answer.headers.get("Content-Type", "").startswith("application/json"):
            # Not a sidecar, such as a proxy's web page: taken for a corrupt document, it would put
            # every conversation into quarantine.
            raise StoreUnavailable("The server at the sidecar's address is not a Dapr sidecar.")
        state = unpack(answer.body, key, etag)
        return StoredConversation(
            state, etag, _expiry(answer.headers.get("Metadata.ttlExpireTime"))
        )

    def save(
        self, state: ConversationState, etag: str | None, ttl_seconds: int, deadline: float
    ) -> None:
        item = {
            "key": str(key_of(state)),
            **({"etag": etag} if etag is not None else {}),
            "metadata": {"ttlInSeconds": str(ttl_seconds)},
            "options": {"concurrency": "first-write"},
        }
        # pack() has encoded the document already: join the bytes, don't encode it twice.
        value = pack(state, self._max_state_bytes)
        body = b"[" + json.dumps(item).encode()[:-1] + b',"value":' + value + b"}]"
        headers = {"Content-Type": "application/json"}
        answer = self._transport.write("POST", self._path, headers, body, deadline)
        # A 500 may be an outage, a limit of the store's for one item, or, where there was no ETag,
        # a conflict: Redis and PostgreSQL answer this if the key exists.
        if answer.status != 204:
            raise self._failed(answer, "save", deadline)

    def delete(self, key: ConversationKey, etag: str, deadline: float) -> None:
        headers = {"If-Match": etag}
        answer = self._transport.write("DELETE", self._key_path(key), headers, None, deadline)
        if answer.status != 204:
            raise self._failed(answer, "delete", deadline)

    def _failed(self, answer: Answer, operation: str, deadline: float) -> Exception:
        """Return the exception for an answer that is not a success."""
        error = _error(answer, operation)
        if not isinstance(error, StoreUnavailable):
            return error
        # It counts as an outage only if the store does not answer for another key either.
        error.is_outage = not self._answers(deadline)
        return error if error.is_outage or operation != "save" else SaveFailed()

    def _answers(self, deadline: float) -> bool:
        return self._ask_for_nothing(deadline).status in {200, 204}

    def _ask_for_nothing(self, deadline: float) -> Answer:
        return self._transport.get(f"{self._path}/{HEALTH_KEY}", deadline)

    def check(self, deadline: float) -> StoreInfo:
        # Not the sidecar's health endpoint, which does not ask the store.
        answer = self._ask_for_nothing(deadline)
        if answer.status not in {200, 204}:
            raise _error(answer, "check")
        answer = self._transport.get("/v1.0/metadata", deadline)
        if answer.status in _NOT_ALLOWED:
            # A Configuration may allow the state API alone, which is all that chats ask.
            return StoreInfo("dapr", f"{self._store_name}, whose sidecar does not describe it")
        if answer.status != 200:
            raise _error(answer, "metadata")
        return self._describe(answer.body)

    def _describe(self, metadata: bytes) -> StoreInfo:
        try:
            sidecar = json.loads(metadata)
            component = next(c for c in sidecar["components"] if c["name"] == self._store_name)
            lacks = tuple(c for c in NEEDED_CAPABILITIES if c not in component["capabilities"])
            description = f"{self._store_name}: {component['type']}/{component['version']}"
            # component["version"] is that of the component's settings, not of Dapr.
            if version := sidecar.get("runtimeVersion"):
                description += f", runtime {version}"
        except (ValueError, TypeError, LookupError, StopIteration, RecursionError) as error:
            raise StoreUnavailable("The sidecar's metadata does not name the store.") from error
        return StoreInfo("dapr", description, lacks)

    def _key_path(self, key: ConversationKey) -> str:
        return f"{self._path}/{quote(str(key), safe='')}"


def _error(answer: Answer, operation: str) -> Exception:
    """Return the exception for an answer that is not a success."""
    code = _error_code(answer.body)
    if answer.status == 409 and operation in {"save", "delete"}:
        return StoreConflict()
    if answer.status in {400, 413} and code not in _MISCONFIGURED and operation != "check":
        logger.warning("the sidecar refused a %s: %s %s", operation, answer.status, code)
        return StoreRefused()
    logger.warning("the sidecar failed a %s: %s %s", operation, answer.status, code)
    return StoreUnavailable()


def _error_code(body: bytes) -> str:
    """Return Dapr's errorCode, or "" if the body is not an error of Dapr."""
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
