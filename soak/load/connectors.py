"""Connectors for the load: with real credentials, made many at a time."""

import base64
import secrets

from django.db import transaction

from connector_state.credentials import encryption
from connector_state.credentials.issuing import KEY_ID_BYTES, SECRET_BYTES
from connector_state.models import Connector, Credential
from tests.connectors import SigningConnector

AT_ONCE = 1000


def create_connectors(names: list[str]) -> list[SigningConnector]:
    """Create a connector of each name with a credential, as create_connector does it for one."""
    connectors = [Connector(name=name) for name in names]
    made = [
        SigningConnector(str(c.uuid), _random(KEY_ID_BYTES), _random(SECRET_BYTES))
        for c in connectors
    ]
    credentials = [
        Credential(
            connector=connector, key_id=new.key_id, encrypted_secret=encryption.encrypt(new.secret)
        )
        for connector, new in zip(connectors, made, strict=True)
    ]
    with transaction.atomic():
        Connector.objects.bulk_create(connectors, AT_ONCE)
        Credential.objects.bulk_create(credentials, AT_ONCE)
    return made


def _random(size: int) -> str:
    return base64.b64encode(secrets.token_bytes(size)).decode()
