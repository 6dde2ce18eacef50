"""The errors of the chat, free of HTTP. config.errors.answers says how each is answered."""

from common.errors import ServiceError


class ChatError(ServiceError):
    """Base of the errors of the chat."""

    code = "chat_error"
    detail = "The chat failed."


# --- The conversation repository: its backends raise these and nothing else ----------------------


class StoreError(ChatError):
    """Base of what a conversation repository raises."""

    code = "chat_store_error"
    detail = "The conversation store failed."


class StoreMissing(StoreError):
    """Nothing is stored under this key: it was never written, or was deleted, or has expired.

    Only `get` raises it, and only when the store itself said so.
    """

    code = "conversation_missing"
    detail = "There is no such conversation."


class StoreUnavailable(StoreError):
    """The store did not answer in time, or answered that it can't now.

    After a save or a delete it is unknown whether it was applied: read again before anything else.
    `is_outage` is false where the failure says nothing about the store: the caller's own deadline
    had passed, or the answer may be a conflict in disguise.
    """

    code = "chat_store_unavailable"
    detail = "The conversation store can't be reached right now. Try again."

    def __init__(self, detail: str | None = None, *, is_outage: bool = True) -> None:
        super().__init__(detail)
        self.is_outage = is_outage


class SaveFailed(StoreUnavailable):
    """The store failed to save this document, while it answers for others: no outage."""

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail, is_outage=False)


class StoreConflict(StoreError):
    """The store refused a compare-and-swap, because the ETag is another one.

    It proves nothing (facts about Dapr: a 409 also comes for a write that was applied, and for a
    Redis that refuses connections). Read again, and look for the id of your own turn first.
    """

    code = "conversation_changed"
    detail = "The conversation was changed meanwhile; read it again."


class StoreRefused(StoreError):
    """The store will never take this content (a 400); trying again does not help."""

    code = "conversation_refused"
    detail = "The conversation store refuses this content."


class StoreCorrupt(StoreError):
    """The stored bytes are not a conversation. They were left as they are.

    `raw` are the bytes as the store gave them, `etag` their ETag ("" where it gave none), `reason`
    one line that says what is wrong with them and never quotes them.
    """

    code = "conversation_corrupt"
    detail = "The stored conversation can't be read; an operator has to look at it."

    def __init__(self, raw: bytes, etag: str, reason: str) -> None:
        super().__init__()
        self.raw = raw
        self.etag = etag
        self.reason = reason


# --- What a client is told ------------------------------------------------------------------------


class InvalidInput(ChatError):
    """The request is malformed, or asks for something impossible."""

    code = "invalid_request"


class InputTooLarge(ChatError):
    """The request's body is over the limit."""

    code = "body_too_large"


class UnsupportedInput(ChatError):
    """The request's body is not JSON, by its Content-Type."""

    code = "unsupported_media_type"
    detail = "Send the body as application/json."


class TokenRefused(ChatError):
    """The bearer token, or the login, is not valid.

    `reason` says which check failed, for the log; "" if there is no more to say than
    `detail` does. It may quote claims.
    """

    code = "bad_token"
    detail = "The token is not valid, or it has expired."

    def __init__(
        self, detail: str | None = None, *, code: str | None = None, reason: str = ""
    ) -> None:
        super().__init__(detail, code=code)
        self.reason = reason


class Forbidden(ChatError):
    """The caller is authenticated, but may not do this."""

    code = "other_user"
    detail = "The path names another user than the token does."


class NotFound(ChatError):
    """The user has no such conversation."""

    code = "not_found"
    detail = "There is no such conversation."


class TurnConflict(ChatError):
    """Another request, or a deletion, is in the way of this turn."""

    code = "conversation_deleted"
    detail = "The conversation was deleted while this message was being answered."


class RateLimited(ChatError):
    """Too much was asked for at once, or in too short a time."""

    code = "rate_limited"
    retry_after_seconds = 1


class Unavailable(ChatError):
    """A service that the answer depends on can't be reached right now."""

    code = "chat_unavailable"
    detail = "The chat can't answer right now. Try again."


class ModelFailed(ChatError):
    """The model gave no answer that can be used. The message is kept.

    `degraded` says that the conversation could not be read or saved either.
    """

    code = "model_failed"
    detail = "The model failed. Your message is kept; send it again."
    degraded = False


class ModelTimeout(ModelFailed):
    """The model did not answer in time. The message is kept."""

    code = "model_timeout"
    detail = "The model did not answer in time. Your message is kept; send it again."
