"""Types of environment variables that need more than a type and a range.

A check says what a value must be, and never what it is: it may be a secret.
"""

from typing import Annotated
from urllib.parse import SplitResult, urlsplit

import dj_database_url
from cryptography.fernet import Fernet
from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode
from redis import ConnectionPool

DATABASE_ENGINES = {"django.db.backends.postgresql", "django.db.backends.sqlite3"}
ENROLLMENT_TOKEN_MIN_CHARACTERS = 8
GROUP_MAX_CHARACTERS = 64
SIGNING_KEY_MIN_BYTES = 32  # HS256 wants a key as long as its digest

# A "#" begins a URL's fragment, so the rest of the password would be lost.
_ENCODED = ", with what is special in a password percent-encoded (# is %23)"


def _split_commas(value: object) -> object:
    """Return "a, b" as ("a", "b"), without blank items."""
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(",") if item.strip())
    return value


def _check_sentinels(value: tuple[str, ...]) -> tuple[str, ...]:
    for sentinel in value:
        host, _, port = sentinel.rpartition(":")
        if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError("must be host:port, separated by commas")
    return value


def _check_fernet_keys(value: tuple[str, ...]) -> tuple[str, ...]:
    for key in value:
        try:
            Fernet(key)
        except ValueError:
            raise ValueError(
                "must be Fernet keys (url-safe base64 of 32 bytes), separated by commas"
            ) from None
    return value


def _check_enrollment_tokens(value: tuple[str, ...]) -> tuple[str, ...]:
    parts = [entry.partition(":") for entry in value]
    tokens = [token if colon else group for group, colon, token in parts]
    if any(len(token) < ENROLLMENT_TOKEN_MIN_CHARACTERS for token in tokens):
        raise ValueError(
            "must be token or group:token, separated by commas, each token of "
            f"{ENROLLMENT_TOKEN_MIN_CHARACTERS} characters at least"
        )
    if len(set(tokens)) < len(tokens):
        raise ValueError("must hold each token once: it belongs to one group")
    if any(colon and len(group) > GROUP_MAX_CHARACTERS for group, colon, _ in parts):
        raise ValueError(f"must have groups of at most {GROUP_MAX_CHARACTERS} characters")
    return value


def _check_signing_key(value: SecretStr) -> SecretStr:
    if 0 < len(value.get_secret_value().encode()) < SIGNING_KEY_MIN_BYTES:
        raise ValueError(f"must have {SIGNING_KEY_MIN_BYTES} bytes at least")
    return value


def _check_header_value(value: SecretStr) -> SecretStr:
    secret = value.get_secret_value()
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ValueError("may hold printable ASCII alone, and no space")
    return value


def _split(url: str) -> SplitResult | None:
    """Return the parts of a URL, or None if it is malformed."""
    try:
        parts = urlsplit(url)
        return None if parts.port == 0 else parts  # reading a wrong port raises
    except ValueError:  # its message may quote a password
        return None


def _split_http(url: str) -> SplitResult | None:
    parts = _split(url)
    return parts if parts and parts.scheme in {"http", "https"} and parts.hostname else None


def _check_url(value: str) -> str:
    if value and not _split_http(value):
        raise ValueError("must be an http or https URL")
    return value


def _check_endpoint(value: str) -> str:
    if not value:
        return value
    parts = _split_http(value)
    if not parts or "@" in parts.netloc or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must be http://HOST:PORT or https://HOST:PORT")
    return value.rstrip("/")


def _check_origins(value: tuple[str, ...]) -> tuple[str, ...]:
    for origin in value:
        parts = _split_http(origin)
        if not parts or origin != f"{parts.scheme}://{parts.netloc}":
            raise ValueError("must be origins such as https://app.example, separated by commas")
    return value


def _check_redis_url(value: str) -> str:
    if value and not _is_redis(value):
        raise ValueError(
            f"must be redis://HOST:PORT/DB, rediss://HOST:PORT/DB or unix:///SOCKET{_ENCODED}"
        )
    return value


def _is_redis(url: str) -> bool:
    parts = _split(url)
    if not parts or "#" in url:
        return False
    try:
        ConnectionPool.from_url(url)  # connects nowhere yet
    except ValueError:
        return False
    if parts.scheme == "unix":
        return bool(parts.path) and not parts.hostname
    return (parts.path.strip("/") or "0").isdecimal()  # redis-py takes any other for database 0


def _check_database_url(value: str) -> str:
    if value and not _is_database(value):
        raise ValueError(
            f"must be postgresql://USER:PASSWORD@HOST/NAME or sqlite:///FILE{_ENCODED}"
        )
    return value


def _is_database(url: str) -> bool:
    try:
        database = dj_database_url.parse(url)
    except ValueError:
        return False
    has_name = database["NAME"] or "service" in database.get("OPTIONS", {})
    return database["ENGINE"] in DATABASE_ENGINES and bool(has_name) and "#" not in url


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_commas)]

Sentinels = Annotated[CommaSeparated, AfterValidator(_check_sentinels)]
"""host:port, separated by commas."""

FernetKeys = Annotated[CommaSeparated, AfterValidator(_check_fernet_keys)]
"""The first encrypts, all decrypt."""

EnrollmentTokens = Annotated[CommaSeparated, AfterValidator(_check_enrollment_tokens)]
"""Each is token or group:token, long enough not to be guessed, and in one group alone."""

SigningKey = Annotated[SecretStr, AfterValidator(_check_signing_key)]
"""For HS256; empty for none."""

HeaderSecret = Annotated[SecretStr, AfterValidator(_check_header_value)]
"""A secret that goes into a header; empty for none."""

Url = Annotated[str, AfterValidator(_check_url)]
"""An http or https URL; empty for none."""

Endpoint = Annotated[str, AfterValidator(_check_endpoint)]
"""An http or https URL without a path; a slash at its end is dropped. Empty for none."""

RedisUrl = Annotated[str, AfterValidator(_check_redis_url)]
"""The URL of Redis; empty for the embedded one."""

DatabaseUrl = Annotated[str, AfterValidator(_check_database_url)]
"""A PostgreSQL or an SQLite file, as dj-database-url reads it; empty for the embedded one."""

Origins = Annotated[CommaSeparated, AfterValidator(_check_origins)]
"""As browsers send them: scheme, host, and the port if it isn't the usual one."""
