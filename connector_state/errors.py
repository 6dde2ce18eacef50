"""The errors of connector state, free of HTTP. config.errors.answers says how each is answered."""

from common.errors import ServiceError


class ConnectorStateError(ServiceError):
    """Base of the errors of connector state."""

    code = "connector_state_error"
    detail = "Connector state failed."


class SignatureRefused(ConnectorStateError):
    """The request is not signed by a credential that is live.

    `reason` is for the log, which tells apart what the answer does not.
    """

    code = "bad_signature"
    # Unknown, revoked, expired and wrong-signature share this answer, so that nobody can find out
    # by trying which key ids exist.
    detail = "The key id or the signature is not valid."

    def __init__(
        self, detail: str | None = None, *, code: str | None = None, reason: str | None = None
    ) -> None:
        super().__init__(detail, code=code)
        self.reason = reason or self.code


class Forbidden(ConnectorStateError):
    """The caller is authenticated, but may not do this."""

    code = "forbidden"


class InvalidRequest(ConnectorStateError):
    """The request is malformed, or asks for something impossible."""

    code = "invalid_request"


class LengthRequired(ConnectorStateError):
    """The request has a body without a Content-Length."""

    code = "length_required"
    detail = "Send the body with a Content-Length, not chunked."


class ValueTooLarge(ConnectorStateError):
    """The body, or one value in it, is over its limit."""

    code = "value_too_large"


class PreconditionFailed(ConnectorStateError):
    """A compare-and-swap met another value than it expected, and nothing was written.

    `operation` is the operation's index in its batch, `etag` the ETag of what is stored (None:
    nothing is).
    """

    code = "precondition_failed"
    detail = "What is stored is not what the condition names; read it again."

    def __init__(self, operation: int, etag: str | None) -> None:
        super().__init__()
        self.operation = operation
        self.etag = etag


class VersionGone(ConnectorStateError):
    """No version of the value has this ETag, or it is not kept any more."""

    code = "version_gone"
    detail = "No version with this ETag is kept; read the current value, without `version`."


class RateLimited(ConnectorStateError):
    """Too many requests came in too short a time."""

    code = "rate_limited"


class Unavailable(ConnectorStateError):
    """A store that the answer depends on can't be reached."""

    code = "store_unavailable"
    detail = (
        "The state store does not answer; nothing was read. A write may still be carried out: read "
        "what is there before you write again."
    )


class Corrupt(ConnectorStateError):
    """The stored value is not one that this service stores."""

    code = "value_corrupt"
    detail = (
        "The stored value is not UTF-8 text; an operator has to look at it. It was left as it is."
    )
