"""Types of environment variables that need more than a type and a range.

A check says what a value must be, and never what it is: it may be a secret.
"""

import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from cryptography.fernet import Fernet
from django.core.checks.security import base as django_security
from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode

ENROLLMENT_TOKEN_MIN_CHARACTERS = 8
GROUP_MAX_CHARACTERS = 64
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "ES256", "EdDSA")
ALLOWED_ALGORITHMS = frozenset({*ALGORITHMS, "PS384", "PS512", "ES384", "ES512"})
_HOST = re.compile(r"[\w.-]+|[0-9a-f:]+|\[[0-9a-f:.]+(%[\w.-]+)?\]", re.ASCII | re.IGNORECASE)
_IP6 = r"\[[0-9a-f]*:[0-9a-f:.]+\]"
_ALLOWED_HOST = re.compile(rf"\*|\.?[\w-]+(\.[\w-]+)*|{_IP6}", re.ASCII | re.IGNORECASE)
# As browsers send it, which is compared as it stands: in small letters, without the usual port.
_BROWSER_ORIGIN = re.compile(
    rf"(http://(?!.*:80$)|https://(?!.*:443$))([a-z0-9_-]+(\.[a-z0-9_-]+)*|{_IP6})(:[0-9]+)?"
)
SIGNING_KEY_MIN_BYTES = 32  # HS256 wants a key as long as its digest


def _split_commas(value: object) -> object:
    """Return "a, b" as ("a", "b"), without blank items."""
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(",") if item.strip())
    return value


def check(is_valid: Callable[[Any], object], words: str) -> AfterValidator:
    """Return a check that refuses a value, unless it is empty or valid, with these words."""

    def check_value(value: Any) -> Any:
        if value and not is_valid(value):
            raise ValueError(words)
        return value

    return AfterValidator(check_value)


def _check_each(is_valid: Callable[[str], object], words: str) -> AfterValidator:
    """Return a check of a list: see check."""
    return check(lambda items: all(map(is_valid, items)), f"must be {words}, separated by commas")


def _check_enrollment_tokens(value: tuple[str, ...]) -> tuple[str, ...]:
    parts = [entry.partition(":") for entry in value]
    tokens = [token if colon else group for group, colon, token in parts]
    if any(len(token) < ENROLLMENT_TOKEN_MIN_CHARACTERS for token in tokens):
        raise ValueError(
            "must be token or group:token, separated by commas, each token of "
            f"{ENROLLMENT_TOKEN_MIN_CHARACTERS} characters at least"
        )
    # Clients encode others differently, if they send them at all.
    if not all(token.isascii() and token.isprintable() for token in tokens):
        raise ValueError("may hold printable ASCII alone in its tokens, as they go into a header")
    if len(set(tokens)) < len(tokens):
        raise ValueError("must hold each token once: it belongs to one group")
    if any(colon and len(group) > GROUP_MAX_CHARACTERS for group, colon, _ in parts):
        raise ValueError(f"must have groups of at most {GROUP_MAX_CHARACTERS} characters")
    return value


def _is_sentinel(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(_HOST.fullmatch(host)) and port.isdecimal() and 0 < int(port) < 65536


def _is_fernet_key(text: str) -> bool:
    try:
        Fernet(text)
    except ValueError:
        return False
    return True


def _is_long_enough(key: SecretStr) -> bool:
    return len(key.get_secret_value().encode()) >= SIGNING_KEY_MIN_BYTES


def _is_random_enough(key: SecretStr) -> bool:
    secret = key.get_secret_value()
    return (
        len(secret) >= django_security.SECRET_KEY_MIN_LENGTH
        and len(set(secret)) >= django_security.SECRET_KEY_MIN_UNIQUE_CHARACTERS
        and not secret.startswith(django_security.SECRET_KEY_INSECURE_PREFIX)
    )


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


def split_url(url: str) -> SplitResult | None:
    """Return the parts of a URL, or None if it is malformed."""
    try:
        parts = urlsplit(url)
        return None if parts.port == 0 else parts  # reading a wrong port raises
    except ValueError:  # its message may quote a password
        return None


def _split_http(url: str) -> SplitResult | None:
    parts = split_url(url)
    return parts if parts and parts.scheme in {"http", "https"} and parts.hostname else None


def _is_proxy(url: str) -> bool:
    parts = split_url(url if "://" in url else f"http://{url}")  # as curl and requests read it
    return parts is not None and bool(parts.hostname) and "#" not in url


def _is_endpoint(url: str) -> bool:
    return _is_origin(url.lower().rstrip("/")) and "@" not in url


def _is_origin(url: str) -> bool:
    parts = _split_http(url)
    return parts is not None and url == f"{parts.scheme}://{parts.netloc}"


def _is_browser_origin(url: str) -> bool:
    return _is_origin(url) and bool(_BROWSER_ORIGIN.fullmatch(url))


def _is_trusted_origin(url: str) -> bool:
    return _is_browser_origin(url.replace("://*.", "://", 1))


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_commas)]

Sentinels = Annotated[CommaSeparated, _check_each(_is_sentinel, "host:port")]

FernetKeys = Annotated[
    CommaSeparated, _check_each(_is_fernet_key, "Fernet keys (url-safe base64 of 32 bytes)")
]
"""The first encrypts, all decrypt."""

EnrollmentTokens = Annotated[CommaSeparated, AfterValidator(_check_enrollment_tokens)]
"""Each is token or group:token, long enough not to be guessed, and in one group alone."""

SecretKey = Annotated[
    SecretStr,
    check(
        _is_random_enough,
        f"must have {django_security.SECRET_KEY_MIN_LENGTH} characters at least, "
        f"{django_security.SECRET_KEY_MIN_UNIQUE_CHARACTERS} of them different, and not begin "
        f"with {django_security.SECRET_KEY_INSECURE_PREFIX} (`check --deploy` wants the same)",
    ),
]
"""What Django itself finds good enough."""

SigningKey = Annotated[
    SecretStr, check(_is_long_enough, f"must have {SIGNING_KEY_MIN_BYTES} bytes at least")
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
    str, check(_holds_certificates, "must be a file or folder of CA certificates")
]
"""A PEM file, or a folder as c_rehash makes it; empty for the built-in list."""

HeaderSecret = Annotated[
    SecretStr, check(_fits_a_header, "may hold printable ASCII alone, and no space")
]
"""A secret that goes into a header; empty for none."""

Url = Annotated[str, check(_split_http, "must be an http or https URL")]
"""Empty for none."""

Proxy = Annotated[str, check(_is_proxy, "must be the URL of a proxy, such as http://proxy:3128")]
"""The libraries that make calls read it themselves. Empty for none."""

Endpoint = Annotated[
    str,
    check(_is_endpoint, "must be http://HOST:PORT or https://HOST:PORT"),
    AfterValidator(lambda url: url.rstrip("/")),
]
"""An http or https URL without a path; a slash at its end is dropped. Empty for none."""

_ORIGINS = "origins such as https://app.example, without a path and without :443 or :80"

Origins = Annotated[CommaSeparated, _check_each(_is_browser_origin, _ORIGINS)]
"""As browsers send them: scheme, host, and the port if it isn't the usual one."""

TrustedOrigins = Annotated[CommaSeparated, _check_each(_is_trusted_origin, _ORIGINS)]
"""Origins; with *. before the host for all below it."""

Hosts = Annotated[
    CommaSeparated,
    _check_each(
        _ALLOWED_HOST.fullmatch,
        "host names without scheme and port (.example.org: all below it; [::1]: IPv6)",
    ),
]
"""As Django's ALLOWED_HOSTS takes them."""
