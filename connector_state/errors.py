"""What can go wrong with connector state, free of HTTP. config.errors says how each is answered."""


class ConnectorStateError(Exception):
    """Base of all below.

    `code` is stable and documented in the README; `detail` says what to change.
    """

    code = "connector_state_error"
    detail = "Connector state failed."

    def __init__(self, detail: str | None = None, *, code: str | None = None) -> None:
        self.detail = detail or self.detail
        self.code = code or self.code
        super().__init__(self.detail)


class SignatureRefused(ConnectorStateError):
    """Who signed the request is not proven."""

    code = "bad_signature"
    # Unknown, revoked, expired and wrong-signature share this answer; the log tells them apart.
    detail = "The key id or the signature is not valid."

    def __init__(
        self, detail: str | None = None, *, code: str | None = None, reason: str | None = None
    ) -> None:
        super().__init__(detail, code=code)
        self.reason = reason or self.code


class Forbidden(ConnectorStateError):
    """The caller is known, and may not do this."""

    code = "forbidden"


class InvalidRequest(ConnectorStateError):
    """The request can't be carried out as it stands."""

    code = "invalid_request"


class LengthRequired(ConnectorStateError):
    """The body came without a Content-Length."""

    code = "length_required"
    detail = "Send the body with a Content-Length, not chunked."


class ValueTooLarge(ConnectorStateError):
    """The body is over a limit."""

    code = "value_too_large"


class PreconditionFailed(ConnectorStateError):
    """A compare-and-swap met something else than it expected; nothing was written.

    `operation` is the operation's index in its batch, `etag` what stands there (None: nothing).
    """

    code = "precondition_failed"
    detail = "What is stored is not what the condition names; read it again."

    def __init__(self, operation: int, etag: str | None) -> None:
        super().__init__()
        self.operation = operation
        self.etag = etag


class RateLimited(ConnectorStateError):
    """Too many requests; the same one works after `retry_after_seconds`."""

    code = "rate_limited"

    def __init__(self, detail: str, retry_after_seconds: int) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(ConnectorStateError):
    """A store that is needed for the answer can't be reached."""

    code = "store_unavailable"
    detail = (
        "The state store does not answer; nothing was read. A write may still be carried out: read "
        "what is there before you write again."
    )


class Corrupt(ConnectorStateError):
    """What is stored is not what this service stores."""

    code = "value_corrupt"
    detail = (
        "The stored value is not UTF-8 text; an operator has to look at it. It was left as it is."
    )
