"""Hooks for schemathesis: each call is signed, or has its token, as its path wants it.

tests.schemathesis_full names the connector and the token in the environment.
"""

import json
import os
import secrets
import time
import zlib
from typing import Any

import requests
import schemathesis

from config.paths import CHAT_PREFIX, REGISTER_PATH
from connector_state.credentials import signing
from tests.schemathesis_full import CONNECTOR, ENROLMENT_TOKEN, USER, USER_TOKEN

ONE_IN = 8  # keeps the connector, or the user, that schemathesis has made up


SIGN_HERE = "DSX-HMAC, made when all that it covers is known"


@schemathesis.auth(refresh_interval=None)  # those of one path are not those of another
class Credentials:
    """What proves who calls, so that schemathesis can tell calls with it from those without."""

    def get(self, case: Any, context: Any) -> dict[str, str]:
        path = case.operation.path
        if path.startswith("/api/token/"):
            return {}
        if path.startswith(CHAT_PREFIX):
            return {"Authorization": f"Bearer {os.environ[USER_TOKEN]}"}
        if path == REGISTER_PATH:
            return {"X-Enrollment-Token": ENROLMENT_TOKEN}
        return {"Authorization": SIGN_HERE}

    def set(self, case: Any, data: dict[str, str], context: Any) -> None:
        case.headers.update(data)


def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Sign what is about to be sent."""
    if request.headers.get("Authorization") == SIGN_HERE:
        request.headers["Authorization"] = _signed(request)
    return request


def _signed(request: requests.PreparedRequest) -> str:
    _, key_id, secret = json.loads(os.environ[CONNECTOR])
    body = request.body or b""
    body = body.encode() if isinstance(body, str) else body
    ts, nonce = str(int(time.time())), secrets.token_hex(12)
    target = request.path_url.encode()
    sig = signing.sign(secret.encode(), request.method or "", target, ts, nonce, body)
    return f"DSX-HMAC key_id={key_id}, ts={ts}, nonce={nonce}, sig={sig}"


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Call as a connector, or as a user, that there is; and ask for events now and then."""
    number = zlib.crc32(repr((case.path_parameters, case.body)).encode())
    if number % ONE_IN:
        ours = {"connector_uuid": json.loads(os.environ[CONNECTOR])[0], "user_id": USER}
        for name in set(ours) & set(case.path_parameters or ()):
            case.path_parameters[name] = ours[name]
    if case.operation.definition.raw.get("operationId") == "send_message" and number % 2:
        case.headers["Accept"] = "text/event-stream"
    kwargs["auth"] = sign
