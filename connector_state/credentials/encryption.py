"""Secrets at rest: encrypted under CONNECTOR_SECRET_KEYS, the first of which encrypts.

They are encrypted, not hashed, because verifying an HMAC needs the secret, and enrolment has to
return the live one.
"""

from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from connector_state.errors import Unavailable


def encrypt(secret: str) -> str:
    """Return the secret's encrypted form, as text."""
    return _fernet().encrypt(secret.encode()).decode()


def decrypt(encrypted: str) -> str:
    """Return the secret.

    Raises:
        Unavailable: code `secret_unreadable`; none of the keys decrypts it.
    """
    try:
        return _fernet().decrypt(encrypted.encode()).decode()
    except InvalidToken as error:
        raise Unavailable(
            "A stored secret can't be decrypted; an operator has to check CONNECTOR_SECRET_KEYS.",
            code="secret_unreadable",
        ) from error


def rotate(encrypted: str) -> str:
    """Return the same secret encrypted under the first key.

    Raises:
        Unavailable: as in decrypt.
    """
    return encrypt(decrypt(encrypted))


def _fernet() -> MultiFernet:
    return _fernet_of(tuple(settings.CONNECTOR_SECRET_KEYS))


@lru_cache(maxsize=1)
def _fernet_of(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])
