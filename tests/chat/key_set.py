"""An identity provider: a real HTTP server with a key set, and tokens of it."""

import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

ISSUER = "https://issuer.example"
PRIVATE_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_jwk(private: Any, **members: Any) -> dict[str, Any]:
    """The public half of a private key, as an entry of a JWKS."""
    if isinstance(private, rsa.RSAPrivateKey):
        reader: Any = jwt.algorithms.RSAAlgorithm
    elif isinstance(private, ec.EllipticCurvePrivateKey):
        reader = jwt.algorithms.ECAlgorithm
    else:
        reader = jwt.algorithms.OKPAlgorithm
    return {**reader.to_jwk(private.public_key(), as_dict=True), **members}


class KeySet:
    """A real HTTP server with a key set; `entries`, if set, is what it holds."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.private = PRIVATE_KEY
        self.entries: list[Any] | None = None
        self.requests = 0
        self.status = 200
        self.body: bytes | None = None
        self.held = threading.Event()
        self.held.set()
        keys = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                keys.requests += 1
                body = keys.body or json.dumps(keys.document()).encode()
                self.send_response(keys.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[:1])
                keys.held.wait(10)
                self.wfile.write(body[1:])

            def log_message(self, *arguments):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.server.server_port}/keys"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def document(self) -> dict:
        if self.entries is not None:
            return {"keys": self.entries}
        return {"keys": [public_jwk(self.private, kid="one", use="sig", alg="RS256")]}

    def token(self, kid="one", _key=None, _algorithm="RS256", **claims):
        """A token of this issuer; a claim that is ... is left out, and so is a kid None."""
        claims = {"iss": ISSUER, "aud": "statekeep", "exp": int(time.time()) + 600, **claims}
        claims = {name: value for name, value in claims.items() if value is not ...}
        headers = {} if kid is None else {"kid": kid}
        return jwt.encode(claims, _key or self.private, _algorithm, headers=headers)

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
