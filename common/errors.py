"""The base of the errors that the apps raise, free of HTTP."""


class ServiceError(Exception):
    """An error that a caller can be told of.

    Attributes:
        code: stable, and documented in docs/errors.md; a subclass has its own.
        detail: a sentence for people that says what to change.
        retry_after_seconds: when the same request may work, None where nobody knows.
    """

    code = "error"
    detail = "The request failed."
    retry_after_seconds: int | None = None

    def __init__(
        self,
        detail: str | None = None,
        *,
        code: str | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        self.detail = detail or self.detail
        self.code = code or self.code
        if retry_after_seconds is not None:
            self.retry_after_seconds = retry_after_seconds
        super().__init__(self.detail)
