"""DSX-HMAC: parse the header, build the canonical request, sign it and verify the signature.

    Authorization: DSX-HMAC key_id=<kid>, ts=<unix seconds>, nonce=<nonce>, sig=<signature>
    canonical request = METHOD|path?query|ts|nonce|body
    signature = base64(HMAC-SHA256(secret as UTF-8, canonical request))

The canonical request escapes nothing. So only its last field, the body, may hold a `|`; otherwise
one signature would be valid for two different requests (docs/decisions/0001).

Pure functions; no Django, no clock, no I/O.
"""

import base64
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from connector_state.errors import SignatureRefused

SCHEME = "DSX-HMAC"
HEADER_MAX_BYTES = 512
SEPARATOR = b"|"

_GRAMMAR = {
    "key_id": re.compile(r"[A-Za-z0-9+/_=-]{1,64}"),
    "ts": re.compile(r"[0-9]{1,11}"),
    "nonce": re.compile(r"[A-Za-z0-9+/_=-]{8,64}"),
    "sig": re.compile(r"[A-Za-z0-9+/]{43}="),
}

# The characters that real clients leave unescaped in a path, beside letters, digits and "_.-~": in
# all of it, and besides in its key, which may hold slashes. They matter only where a proxy rewrote
# the path: otherwise the target as it was sent is tried first.
_ENCODINGS = (
    ("", ""),  # connectors: quote(segment, safe="")
    ("!$&'()*+,;=:@", "/"),  # RFC 3986's pchar: curl, requests, httpx
    ("!*'()", ""),  # JavaScript: encodeURIComponent
    ("$&+=:@", ""),  # Go: url.PathEscape
    ("$&+,;=:@", "/"),  # Go: net/http with URL.Path
    ("", "/"),  # Python: quote(), its default
)


@dataclass(frozen=True, slots=True)
class AuthorizationHeader:
    """The four fields of a DSX-HMAC header; each matches its grammar."""

    key_id: str
    ts: str
    nonce: str
    sig: str


def parse_authorization_header(value: str) -> AuthorizationHeader | None:
    """Parse an Authorization header.

    Returns:
        The fields, or None if the scheme is not DSX-HMAC.

    Raises:
        SignatureRefused: code `malformed_header`: the header is too long; a field is missing,
            unknown, given twice or against its grammar; or there is other text in it.
    """
    scheme, _, parameters = value.partition(" ")
    if scheme.upper() != SCHEME:
        return None
    if len(value) > HEADER_MAX_BYTES:
        raise _malformed(f"is over {HEADER_MAX_BYTES} bytes")
    fields: dict[str, str] = {}
    for parameter in parameters.split(","):
        # Only the first "=" separates: base64 values end in "=".
        name, _, field = parameter.strip(" ").partition("=")
        grammar = _GRAMMAR.get(name)
        if grammar is None:
            raise _malformed("has a field that is not one of key_id, ts, nonce and sig")
        if name in fields:
            raise _malformed(f"has {name} twice")
        if grammar.fullmatch(field) is None:
            raise _malformed(f"has a {name} that is not of its form, {grammar.pattern}")
        fields[name] = field
    if len(fields) < len(_GRAMMAR):
        missing = next(name for name in _GRAMMAR if name not in fields)
        raise _malformed(f"lacks {missing}")
    return AuthorizationHeader(**fields)


def _malformed(what: str) -> SignatureRefused:
    return SignatureRefused(f"The Authorization header {what}.", code="malformed_header")


def canonical_request(method: str, target: bytes, ts: str, nonce: str, body: bytes) -> bytes:
    """Return the bytes to sign. `target` is the path, with `?query` if there is one."""
    return b"%b|%b|%b|%b|%b" % (method.encode(), target, ts.encode(), nonce.encode(), body)


def sign(secret: bytes, method: str, target: bytes, ts: str, nonce: str, body: bytes) -> str:
    """Return the signature, 44 characters of base64.

    Args:
        secret: the UTF-8 bytes of the secret string, which looks like base64 but is not decoded.
        method: in upper case.
        target: path and `?query`, as they are sent.
        ts: Unix time in seconds, as decimal digits.
        nonce: new for each request.
        body: the raw body; empty if there is none.
    """
    digest = hmac.digest(secret, canonical_request(method, target, ts, nonce, body), "sha256")
    return base64.b64encode(digest).decode()


def verify(
    secret: bytes, header: AuthorizationHeader, method: str, targets: Iterator[bytes], body: bytes
) -> bool:
    """Tell, in constant time per target, whether the signature is valid for one of the targets."""
    for target in targets:
        signature = sign(secret, method, target, header.ts, header.nonce, body)
        if hmac.compare_digest(header.sig, signature):
            return True
    return False


def candidate_targets(
    path: str, key: str, query: bytes, exact: bytes | None = None
) -> Iterator[bytes]:
    """Yield the request targets that a client may have signed, the likeliest first.

    A signature covers the target as the client sent it. If that is not known, or a proxy rewrote
    it, each encoding of the routed path that real clients produce is tried. All of them decode to
    the very resource that was routed.

    Args:
        path: the decoded path, as it was routed.
        key: the end of the path that may hold slashes ("" for a route without a key).
        query: the query string as it was sent, without "?".
        exact: the request target as it was sent, if the server supplies it.
    """
    head = path[: len(path) - len(key)]
    wanted = path.encode()
    suffix = b"?" + query if query else b""
    if exact is not None and _opens(exact, wanted, query) and not _encodes_slash(exact, head):
        yield exact
        if not query:  # not every server tells an empty query from none
            yield exact.removesuffix(b"?") if exact.endswith(b"?") else exact + b"?"
    tried = set()
    for safe, key_safe in _ENCODINGS:
        encoded = quote(head, safe="/" + safe) + quote(key, safe=safe + key_safe)
        candidate = encoded.encode() + suffix
        if candidate not in tried and _opens(candidate, wanted, query):
            tried.add(candidate)
            yield candidate
    candidate = wanted + suffix  # not encoded at all
    if candidate not in tried and _opens(candidate, wanted, query):
        yield candidate


def _opens(target: bytes, path: bytes, query: bytes) -> bool:
    """Tell whether a request for this very target would reach exactly this path and query.

    Without this check one signature would open two resources: one made for `delta%3Auser` would
    also open the key that is sent as `delta%253Auser`.
    """
    raw_path, _, raw_query = target.partition(b"?")
    return (
        SEPARATOR not in target
        and raw_query == query
        and (raw_path == path if b"%" not in raw_path else unquote_to_bytes(raw_path) == path)
    )


def _encodes_slash(exact: bytes, head: str) -> bool:
    """Tell whether the exact target has an encoded slash before the key, among the separators."""
    raw_path = exact.partition(b"?")[0]
    separators = head.count("/")
    raw_head = raw_path if not head.endswith("/") else b"/".join(raw_path.split(b"/")[:separators])
    return b"%2f" in raw_head.lower()
