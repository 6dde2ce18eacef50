"""What can go wrong with chats, free of HTTP. config.errors says how each is answered."""


class ChatError(Exception):
    """Base of all below.

    `code` is stable and documented in the README; `detail` says what to change.
    """

    code = "chat_error"
    detail = "The chat failed."

    def __init__(self, detail: str | None = None, *, code: str | None = None) -> None:
        self.detail = detail or self.detail
        self.code = code or self.code
        super().__init__(self.detail)


# --- The conversation repository: its backends raise these and nothing else ----------------------


class StoreError(ChatError):
    """Base of what a conversation repository raises."""

    code = "chat_store_error"
    detail = "The conversation store failed."


class StoreMissing(StoreError):
    """Nothing is stored under this key: never written, deleted or expired.

    Only get raises it, and only when the store itself said so.
    """

    code = "conversation_missing"
    detail = "There is no such conversation."


class StoreUnavailable(StoreError):
    """The store did not answer in time, or answered that it can't now.

    After a save or a delete nothing is known: it may have been applied. Read again before
    anything else. `is_outage` is false where it says nothing about the store: the caller's deadline
    had come, or the answer may be a conflict in disguise.
    """

    code = "chat_store_unavailable"
    detail = "The conversation store can't be reached right now. Try again."

    def __init__(self, detail: str | None = None, *, is_outage: bool = True) -> None:
        super().__init__(detail)
        self.is_outage = is_outage


class StoreConflict(StoreError):
    """A compare-and-swap was refused because something else stands there, as the store says.

    It proves nothing (facts about Dapr: a 409 also comes for a write that was applied, and for a
    Redis that refuses connections). Read again, and look for the id of your own turn first.
    """

    code = "conversation_changed"
    detail = "The conversation was changed meanwhile; read it again."


class StoreRefused(StoreError):
    """The store won't ever take this content (a 400): trying again is of no use."""

    code = "conversation_refused"
    detail = "The conversation store refuses this content."


class StoreCorrupt(StoreError):
    """What is stored is not a conversation. It was left as it is.

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


# --- What a caller is told ------------------------------------------------------------------------


class InvalidInput(ChatError):
    """The request can't be carried out as it stands."""

    code = "invalid_request"


class InputTooLarge(ChatError):
    """The body is over the limit."""

    code = "body_too_large"


class UnsupportedInput(ChatError):
    """The body is not JSON."""

    code = "unsupported_media_type"
    detail = "Send the body as application/json."


class TokenRefused(ChatError):
    """The bearer token, or a login, proves nobody."""

    code = "bad_token"
    detail = "The token is not valid, or it has expired."


class Forbidden(ChatError):
    """The caller is known, and may not do this."""

    code = "other_user"
    detail = "The path names another user than the token does."


class NotFound(ChatError):
    """No such conversation of this user."""

    code = "not_found"
    detail = "There is no such conversation."


class TurnConflict(ChatError):
    """The turn can't go on beside what happened meanwhile.

    `retry_after_seconds` is set where the same request may work later.
    """

    code = "conversation_deleted"
    detail = "The conversation was deleted while this message was being answered."

    def __init__(
        self,
        detail: str | None = None,
        *,
        code: str | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(detail, code=code)
        self.retry_after_seconds = retry_after_seconds


class RateLimited(ChatError):
    """Too much at once; the same request works after `retry_after_seconds`."""

    code = "rate_limited"

    def __init__(
        self, detail: str, *, code: str | None = None, retry_after_seconds: int = 1
    ) -> None:
        super().__init__(detail, code=code)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(ChatError):
    """Something that is needed for the answer can't be had right now."""

    code = "chat_unavailable"
    detail = "The chat can't answer right now. Try again."


class ModelFailed(ChatError):
    """The model did not answer, or not in a way that can be used. The message is kept."""

    code = "model_failed"
    detail = "The model failed. Your message is kept; send it again."
    degraded = False  # whether the state could not be used or saved either


class ModelTimeout(ModelFailed):
    """The model did not answer in time. The message is kept."""

    code = "model_timeout"
    detail = "The model did not answer in time. Your message is kept; send it again."
