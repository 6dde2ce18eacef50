"""Verify bearer tokens, and read the user id in them. No claim gives a privilege.

A process verifies by HS256 with JWT_SIGNING_KEY, or by one of JWT_ALGORITHMS with the keys of
JWT_JWKS_URL. Tokens of another issuer need only `exp`, and `sub` or `user_id`.
"""

import reprlib
from typing import Any, NamedTuple

import jwt
from django.conf import settings

from chat.api.bearer import jwks
from chat.conversations.state import USER_ID_MAX_CHARACTERS
from chat.errors import TokenRefused

TOKEN_MAX_CHARACTERS = 16_384  # issuers put hundreds of groups into a token
REASON_MAX_CHARACTERS = 200
HEADER_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
TOKEN_TYPES = frozenset({"access", "bearer"})
INTEGER_MAX = 2**63 - 1
NOT_IN_USER_IDS = ("/", "||")  # routes end a user id at the first, Dapr splits keys at the second
TIME_MAX = 10**11  # seconds since 1970

# All that decoding hostile text may raise.
_UNREADABLE = (jwt.PyJWTError, ValueError, TypeError, KeyError, OverflowError, RecursionError)

_quoted = reprlib.Repr()  # escapes, and cuts what is longer than this
_quoted.maxstring = _quoted.maxother = 120
_quoted.maxlevel = 2


class Bearer(NamedTuple):
    """What a token says: its user id (the claim `user_id`, else `sub`), and its claim `iat`.

    `issued_at` is None where the claim is none, or is no time.
    """

    user_id: str
    issued_at: float | None


def bearer_of(token: str) -> Bearer:
    """Verify a token, and return what it says.

    Raises:
        TokenRefused: it is not valid.
        Unavailable: the keys to verify it with can't be fetched.
    """
    if not 0 < len(token) <= TOKEN_MAX_CHARACTERS:
        raise TokenRefused(
            f"A token has 1 to {TOKEN_MAX_CHARACTERS} characters.",
            reason=f"it has {len(token)} characters, and may have {TOKEN_MAX_CHARACTERS}",
        )
    try:
        claims = _verified_claims(token)
        _check_claims(claims)
        # A user_id that is not valid is refused, even if there is a sub.
        user_id = _as_user_id(claims["user_id"] if "user_id" in claims else claims.get("sub"))
        return Bearer(user_id, time_of(claims.get("iat")))
    except TokenRefused as refusal:
        refusal.reason = (refusal.reason or refusal.detail).rstrip(".") + _told_by(token)
        raise


def _verified_claims(token: str) -> dict[str, Any]:
    audiences = settings.JWT_AUDIENCE if settings.JWT_AUDIENCE_CLAIM == "aud" else None
    try:
        key, algorithm = _key(jwt.get_unverified_header(token))
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=audiences or None,
            issuer=settings.JWT_ISSUER or None,
            leeway=settings.JWT_LEEWAY_SECONDS,
            options={
                "require": ["exp"],
                # Other issuers send integers as sub; _as_user_id checks what matters.
                "verify_sub": False,
                "verify_jti": False,
                # Only what the settings name can be verified.
                "verify_aud": bool(audiences),
                "verify_iss": bool(settings.JWT_ISSUER),
            },
        )
    except jwt.ExpiredSignatureError:
        raise TokenRefused(
            "The token has expired.", code="token_expired", reason="exp has passed"
        ) from None
    except jwt.PyJWTError as error:  # its messages name the check, and quote no token
        raise TokenRefused(reason=str(error)[:REASON_MAX_CHARACTERS]) from None
    except _UNREADABLE as error:
        raise TokenRefused(reason=f"it can't be read ({type(error).__name__})") from None
    return claims


def _key(header: dict[str, Any]) -> tuple[Any, str]:
    """Return the key to verify the token with, and the one algorithm that goes with it."""
    kind = header.get("typ")
    if kind is not None and (not isinstance(kind, str) or kind.lower() not in HEADER_TYPES):
        raise _no_access_token("header typ", kind)
    if not settings.JWT_JWKS_URL:
        return settings.JWT_SIGNING_KEY, "HS256"
    # Never HS256 beside a JWKS: its public keys would pass for secrets.
    algorithm = header.get("alg")
    if algorithm not in settings.JWT_ALGORITHMS:
        raise TokenRefused(reason=f"alg {_quoted.repr(algorithm)} is none of JWT_ALGORITHMS")
    return jwks.find_key(header.get("kid"), algorithm), algorithm


def _check_claims(claims: dict[str, Any]) -> None:
    """Check what PyJWT does not, or not strictly enough."""
    exp, kind, name = claims["exp"], claims.get("token_type"), settings.JWT_AUDIENCE_CLAIM
    if time_of(exp) is None:
        raise TokenRefused(reason="exp is no time in seconds")
    if kind is not None and (not isinstance(kind, str) or kind.lower() not in TOKEN_TYPES):
        raise _no_access_token("token_type", kind)
    if name != "aud" and settings.JWT_AUDIENCE and claims.get(name) not in settings.JWT_AUDIENCE:
        raise TokenRefused(reason=f"{name} is none of JWT_AUDIENCE")


def time_of(claim: object) -> float | None:
    """Return a claim that is a time in seconds since 1970; None for anything else."""
    # PyJWT also takes "1e9" and 10^30 for a NumericDate.
    is_number = isinstance(claim, int | float) and not isinstance(claim, bool)
    return claim if is_number and 0 < claim < TIME_MAX else None  # type: ignore[operator, return-value]


def _no_access_token(name: str, value: object) -> TokenRefused:
    return TokenRefused(
        "This is no access token.",
        code="wrong_token_type",
        reason=f"{name} is {_quoted.repr(value)}",
    )


def _as_user_id(claim: object) -> str:
    """Return the claim as a user id; an integer becomes decimal text."""
    if isinstance(claim, int) and not isinstance(claim, bool) and 0 <= claim <= INTEGER_MAX:
        return str(claim)
    if (
        not isinstance(claim, str)
        or not 0 < len(claim) <= USER_ID_MAX_CHARACTERS
        or not claim.isprintable()  # so it has no lone surrogate and no NUL either
        or claim != claim.strip()
    ):
        raise TokenRefused("The token names no user.", code="no_user")
    if any(text in claim for text in NOT_IN_USER_IDS):
        raise TokenRefused('The token\'s user id holds "/" or "||".', code="no_user")
    return claim


def _told_by(token: str) -> str:
    """Return what a refused token says of its issuer and audience, for the log."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
        names = ("iss", settings.JWT_AUDIENCE_CLAIM)
        return "".join(f"; {name} {_quoted.repr(claims.get(name))}" for name in names)
    except _UNREADABLE:
        return ""
