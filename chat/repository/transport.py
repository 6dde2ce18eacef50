"""HTTP calls to the sidecar: one session per process, and a deadline for each whole call.

The timeouts of requests limit single reads, so a server that sends one byte a second never exceeds
them. Here each read and write may take only the time that is left for the whole call. (For an https
endpoint only single reads are limited.)
"""

import logging
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError

from chat import outgoing
from chat.errors import StoreUnavailable
from chat.repository.deadline import FAIR_SECONDS, seconds_left
from common.telemetry.request import onward_headers

logger = logging.getLogger(__name__)

POOL_SIZE = 256  # connections to keep: more than a process has threads
MAX_ANSWER_BYTES = 33_554_432  # a store may escape the document's text, up to six times as long

_call = threading.local()  # .deadline: that of this thread's current call


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the sidecar, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport:
    """Calls one sidecar. Threads may share one.

    Args of the constructor:
        endpoint: scheme, host and port of the sidecar.
        api_token: sent with each call, unless it is empty.
        connect_timeout_seconds, timeout_seconds: the time limits of one call.
    """

    def __init__(
        self,
        endpoint: str,
        api_token: str,
        connect_timeout_seconds: float,
        timeout_seconds: float,
    ) -> None:
        self._endpoint = endpoint
        self._connect_timeout_seconds = connect_timeout_seconds
        self._timeout_seconds = timeout_seconds
        self._session = outgoing.session()
        self._session.headers["Accept-Encoding"] = "identity"
        self._session.mount("http://", _DeadlineAdapter(pool_maxsize=POOL_SIZE))
        self._session.mount("https://", HTTPAdapter(pool_maxsize=POOL_SIZE))
        if api_token:
            self._session.headers["dapr-api-token"] = api_token

    def get(self, path: str, deadline: float) -> Answer:
        """Send a GET and return the answer, whatever its status.

        Args:
            path: percent-encoded, with its leading slash.
            deadline: a time of time.monotonic(), in seconds.

        Raises:
            StoreUnavailable: there was no complete answer in time.
        """
        # Once more if the connection broke: the sidecar may have closed it while it was idle.
        try:
            return self._request("GET", path, deadline)
        except StoreUnavailable as error:
            if not isinstance(error.__cause__, requests.ConnectionError) or isinstance(
                error.__cause__, requests.Timeout
            ):
                raise
        return self._request("GET", path, deadline)

    def write(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None, deadline: float
    ) -> Answer:
        """Send a POST or DELETE and return the answer, whatever its status.

        It is sent only once: after StoreUnavailable it may have been carried out.
        """
        return self._request(method, path, deadline, headers, body)

    def _request(
        self,
        method: str,
        path: str,
        deadline: float,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        left = seconds_left(deadline, self._timeout_seconds)
        _call.deadline = time.monotonic() + left
        try:
            with self._session.request(
                method,
                self._endpoint + path,
                data=body,
                headers={**onward_headers(), **(headers or {})},
                timeout=(min(left, self._connect_timeout_seconds), left),
                allow_redirects=False,
                stream=True,
            ) as response:
                content = response.raw.read(MAX_ANSWER_BYTES + 1, decode_content=True)
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            # urllib3 raises ValueError for some malformed answers.
            logger.warning("the sidecar did not answer a %s: %s", method, type(error).__name__)
            is_outage = left >= min(FAIR_SECONDS, self._timeout_seconds)
            raise StoreUnavailable(is_outage=is_outage) from error
        if len(content) > MAX_ANSWER_BYTES:
            raise StoreUnavailable("The conversation store's answer is too long.", is_outage=False)
        return Answer(response.status_code, response.headers, content)


class _DeadlineSocket(socket.socket):
    """A socket whose reads and writes together end at the deadline of the thread's call."""

    def recv_into(self, *arguments: Any) -> int:
        self._set_timeout()
        return super().recv_into(*arguments)

    def sendall(self, *arguments: Any) -> None:
        self._set_timeout()
        super().sendall(*arguments)

    def _set_timeout(self) -> None:
        left = _call.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline of the call has come")
        self.settimeout(left)


class _DeadlineConnection(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        self.sock = _DeadlineSocket(fileno=self.sock.detach())


class _DeadlinePool(HTTPConnectionPool):
    ConnectionCls = _DeadlineConnection


class _DeadlineAdapter(HTTPAdapter):
    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _DeadlinePool}
