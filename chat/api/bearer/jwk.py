"""Read one key of a JWKS (RFC 7517): the public key, and the algorithms that it is good for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

_READERS: dict[Any, Callable[[dict[str, Any]], object]] = {
    "RSA": RSAAlgorithm.from_jwk,
    "EC": ECAlgorithm.from_jwk,
    "OKP": OKPAlgorithm.from_jwk,
}
_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_BY_CURVE = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_EDDSA_NAMES = frozenset({"EdDSA", "Ed25519", "Ed448"})  # RFC 9864 has the last two
ALGORITHMS = _RSA | {"EdDSA"} | frozenset(_BY_CURVE.values())
_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key. `key_id` None: it has none. `algorithms` empty: it verifies nothing."""

    key_id: str | None
    key: Any
    algorithms: frozenset[str]


def read_key(entry: object) -> VerificationKey | None:
    """Return an entry of a JWKS as a key; None if it is of a kind that we don't know, or broken."""
    if not isinstance(entry, dict) or entry.get("kty") not in tuple(_READERS):
        return None
    try:
        key = _READERS[entry["kty"]](entry)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    key_id = entry.get("kid")
    return VerificationKey(
        key_id if isinstance(key_id, str) else None, key, _algorithms_of(key) & _allowed_by(entry)
    )


def _algorithms_of(key: object) -> frozenset[str]:
    """Return the algorithms of the key's type and curve; none for a private key."""
    if isinstance(key, rsa.RSAPublicKey):
        return _RSA
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _BY_CURVE:
        return frozenset({_BY_CURVE[key.curve.name]})
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return frozenset({"EdDSA"})
    return _NONE


def _allowed_by(entry: dict[str, Any]) -> frozenset[str]:
    """Return the algorithms that the entry's own `use`, `key_ops` and `alg` leave."""
    use, operations, name = entry.get("use"), entry.get("key_ops"), entry.get("alg")
    if use not in (None, "sig"):
        return _NONE
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        return _NONE
    if name is None:
        return ALGORITHMS
    if not isinstance(name, str):
        return _NONE
    return frozenset({"EdDSA" if name in _EDDSA_NAMES else name})
