"""The bodies of answers, and the ways in which callers say who they are."""

from pydantic import BaseModel, Field


class Value(BaseModel):
    """A value, empty when nothing is stored."""

    value: str


class Key(BaseModel):
    """A key without its value."""

    key: str
    size: int = Field(description="Bytes of the value.")
    etag: str
    ttl: int | None = Field(description="Seconds that it still lives; null: it never expires.")


class Keys(BaseModel):
    """A page of keys, in byte order."""

    keys: list[Key]
    next_cursor: str | None


class Namespace(BaseModel):
    """A namespace and the number of its keys."""

    namespace: str
    keys: int


class Namespaces(BaseModel):
    """A page of namespaces, in byte order."""

    namespaces: list[Namespace]
    next_cursor: str | None


class BatchResult(BaseModel):
    """The result of an operation.

    A get has `value`, `etag` and `ttl`, a put `etag`, a delete `deleted`. A value that is not
    UTF-8 text is null, with the code `value_corrupt`.
    """

    key: str
    value: str | None = None
    etag: str | None = None
    ttl: int | None = None
    deleted: bool | None = None
    code: str | None = None


class BatchResults(BaseModel):
    """The results, in the order of the operations."""

    results: list[BatchResult]


class Registered(BaseModel):
    """A connector. The credential is missing where an operator made the connector."""

    status: str
    message: str
    description: str
    connector_uuid: str
    hmac_key_id: str | None = None
    hmac_secret: str | None = None


SECURITY_SCHEMES = {
    "DSX-HMAC": {
        "type": "http",
        "scheme": "DSX-HMAC",
        "description": (
            "`Authorization: DSX-HMAC key_id=…, ts=…, nonce=…, sig=…`. `sig` is the base64 of the "
            "HMAC-SHA256, under the secret as text, of `METHOD|path?query|ts|nonce|body`: the path "
            "percent-encoded as it is sent, `ts` the Unix time in seconds (60 s off at most), "
            "`nonce` new for each request (8 to 64 characters of base64)."
        ),
    },
    "EnrolmentToken": {"type": "apiKey", "in": "header", "name": "X-Enrollment-Token"},
    "EnrolmentBearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "The enrolment token, as an Authorization header.",
    },
}
SIGNED = [{"DSX-HMAC": list[str]()}]
ENROLS = [{"EnrolmentToken": list[str]()}, {"EnrolmentBearer": list[str]()}]
