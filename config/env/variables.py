"""Types of environment variables that need more than a type and a range.

A check says what a value must be, and never what it is: it may be a secret.
"""

import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

import dj_database_url
from cryptography.fernet import Fernet
from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode
from redis import ConnectionPool

DATABASE_ENGINES = {"django.db.backends.postgresql", "django.db.backends.sqlite3"}
ENROLLMENT_TOKEN_MIN_CHARACTERS = 8
GROUP_MAX_CHARACTERS = 64
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "ES256", "EdDSA")
ALLOWED_ALGORITHMS = frozenset({*ALGORITHMS, "PS384", "PS512", "ES384", "ES512"})
SIGNING_KEY_MIN_BYTES = 32  # HS256 wants a key as long as its digest

# A "#" begins a URL's fragment, so the rest of the password would be lost.
_ENCODED = ", with what is special in a password percent-encoded (# is %23)"


def _split_commas(value: object) -> object:
    """Return "a, b" as ("a", "b"), without blank items."""
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(",") if item.strip())
    return value


def _check(is_valid: Callable[[Any], object], words: str) -> AfterValidator:
    """Return a check that refuses a value, unless it is empty or valid, with these words."""

    def check(value: Any) -> Any:
        if value and not is_valid(value):
            raise ValueError(words)
        return value

    return AfterValidator(check)


def _check_each(is_valid: Callable[[str], object], words: str) -> AfterValidator:
    """Return a check of a list: see _check."""
    return _check(lambda items: all(map(is_valid, items)), f"must be {words}, separated by commas")


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


def _is_sentinel(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and "/" not in host and port.isdecimal() and 0 < int(port) < 65536


def _is_fernet_key(text: str) -> bool:
    try:
        Fernet(text)
    except ValueError:
        return False
    return True


def _is_long_enough(key: SecretStr) -> bool:
    return len(key.get_secret_value().encode()) >= SIGNING_KEY_MIN_BYTES


def _holds_certificates(path: str) -> bool:
    if Path(path).is_dir():
        return True
    try:
        ssl.create_default_context(cafile=path)
    except OSError:  # as SSLError is
        return False
    return True


def _fits_a_header(value: SecretStr) -> bool:
    secret = value.get_secret_value()
    return secret.isascii() and secret.isprintable() and " " not in secret


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


def _is_endpoint(url: str) -> bool:
    return _is_origin(url.lower().rstrip("/")) and "@" not in url


def _is_origin(url: str) -> bool:
    parts = _split_http(url)
    return parts is not None and url == f"{parts.scheme}://{parts.netloc}"


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


def _is_database(url: str) -> bool:
    try:
        database = dj_database_url.parse(url)
    except ValueError:
        return False
    has_name = database["NAME"] or "service" in database.get("OPTIONS", {})
    return database["ENGINE"] in DATABASE_ENGINES and bool(has_name) and "#" not in url


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_commas)]

Sentinels = Annotated[CommaSeparated, _check_each(_is_sentinel, "host:port")]

FernetKeys = Annotated[
    CommaSeparated, _check_each(_is_fernet_key, "Fernet keys (url-safe base64 of 32 bytes)")
]
"""The first encrypts, all decrypt."""

EnrollmentTokens = Annotated[CommaSeparated, AfterValidator(_check_enrollment_tokens)]
"""Each is token or group:token, long enough not to be guessed, and in one group alone."""

SigningKey = Annotated[
    SecretStr, _check(_is_long_enough, f"must have {SIGNING_KEY_MIN_BYTES} bytes at least")
]
"""For HS256; empty for none."""

Algorithms = Annotated[
    CommaSeparated, _check_each(ALLOWED_ALGORITHMS.__contains__, "asymmetric algorithms of JWS")
]
"""Of tokens that a key of a JWKS verifies."""

HeaderNames = Annotated[
    CommaSeparated, _check_each(re.compile("[A-Za-z0-9-]+").fullmatch, "names of headers")
]

Certificates = Annotated[
    str, _check(_holds_certificates, "must be a file or folder of CA certificates")
]
"""A PEM file, or a folder as c_rehash makes it; empty for the built-in list."""

HeaderSecret = Annotated[
    SecretStr, _check(_fits_a_header, "may hold printable ASCII alone, and no space")
]
"""A secret that goes into a header; empty for none."""

Url = Annotated[str, _check(_split_http, "must be an http or https URL")]
"""Empty for none."""

Endpoint = Annotated[
    str,
    _check(_is_endpoint, "must be http://HOST:PORT or https://HOST:PORT"),
    AfterValidator(lambda url: url.rstrip("/")),
]
"""An http or https URL without a path; a slash at its end is dropped. Empty for none."""

RedisUrl = Annotated[
    str,
    _check(
        _is_redis,
        f"must be redis://HOST:PORT/DB, rediss://HOST:PORT/DB or unix:///SOCKET{_ENCODED}",
    ),
]
"""The URL of Redis; empty for the embedded one."""

DatabaseUrl = Annotated[
    str,
    _check(
        _is_database, f"must be postgresql://USER:PASSWORD@HOST/NAME or sqlite:///FILE{_ENCODED}"
    ),
]
"""A PostgreSQL or an SQLite file, as dj-database-url reads it; empty for the embedded one."""

Origins = Annotated[CommaSeparated, _check_each(_is_origin, "origins such as https://app.example")]
"""As browsers send them: scheme, host, and the port if it isn't the usual one."""
