"""The API as a client sees it, and tokens for it."""

import time
from typing import Any

import jwt
import requests
from django.conf import settings
from django.test import Client

from tests.chat.drive import ALICE
from tests.servers import Server

JSON = "application/json"
ANSWER_SECONDS_MAX = 60


def token(_key: str | None = None, _algorithm: str = "HS256", _headers=None, **claims: Any) -> str:
    """A token as another issuer makes it: `exp` and what is given."""
    claims = {"exp": int(time.time()) + 600, **claims}
    claims = {name: value for name, value in claims.items() if value is not ...}
    key = settings.JWT_SIGNING_KEY if _key is None else _key
    return jwt.encode(claims, key, _algorithm, headers=_headers)


class Api:
    """A user with a token."""

    def __init__(self, user: str = ALICE, bearer: str | None = None) -> None:
        self.user = user
        self.client = Client(raise_request_exception=False)
        bearer = bearer or token(sub=user)
        self.headers = {"Authorization": f"Bearer {bearer}"}

    def call(self, method: str, path: str, body: Any = None, **headers: str):
        options = {"headers": {**self.headers, **headers}}
        if body is not None:
            options |= {"data": body, "content_type": JSON}
        return getattr(self.client, method)(path, **options)

    def chat(self, message: Any, conversation: Any = None, user: str | None = None, **headers: str):
        body = {"message": message}
        if conversation is not None:
            body["conversation_id"] = conversation
        return self.call("post", f"/api/{user or self.user}/chat", body, **headers)

    def path(self, conversation: Any = None, tail: str = "", user: str | None = None) -> str:
        path = f"/api/{user or self.user}/conversations"
        return path if conversation is None else f"{path}/{conversation}{tail}"


class User:
    """A client of a real server."""

    def __init__(self, server: Server, user: str = "alice") -> None:
        self.url = f"{server.url}/api/{user}"
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {token(sub=user)}"

    def chat(self, message: str, conversation: str = "c1", **headers: str) -> requests.Response:
        body = {"message": message, "conversation_id": conversation}
        return self.session.post(
            f"{self.url}/chat", json=body, headers=headers, timeout=ANSWER_SECONDS_MAX
        )

    def messages(self, conversation: str = "c1") -> list[dict]:
        url = f"{self.url}/conversations/{conversation}/messages?limit=200"
        return self.session.get(url, timeout=ANSWER_SECONDS_MAX).json()["messages"]
