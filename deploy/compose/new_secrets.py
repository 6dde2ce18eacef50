"""Print new secrets for compose.yaml: `umask 077; python3 new_secrets.py > .env`, once.

With a new CONNECTOR_SECRET_KEYS the secrets of connectors that are stored can't be read any more.
"""

import base64
import secrets

NAMES = ("POSTGRES_PASSWORD", "SECRET_KEY", "JWT_SIGNING_KEY", "DAPR_API_TOKEN")

for name in NAMES:
    print(f"{name}={secrets.token_urlsafe(48)}")
print(f"CONNECTOR_SECRET_KEYS={base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()}")
