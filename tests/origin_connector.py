"""A connector on the origin's own framework, run by tests/test_origin.py in its checkout.

It reads a step a line, `["put", "key", "value"]` in JSON, and answers each with a line of JSON.
"""

import asyncio
import json
import sys
from urllib.parse import quote

import httpx
from connectors.framework.auth_hmac import (
    build_outbound_auth_header,
    get_runtime_hmac_credentials,
)
from connectors.framework.base_config import BaseConnectorConfig
from connectors.framework.dsx_connector import DSXConnector
from shared.models.connector_models import ScanRequestModel
from shared.routes import API_PREFIX_V1, DSXConnectAPI, service_url

connector = DSXConnector(BaseConnectorConfig(name="m365"))


def state_call(method: str, key: str, body: bytes | None = None) -> httpx.Response:
    """Call as the origin's connectors do, which have this code each."""
    uuid = str(connector.connector_running_model.uuid)
    prefix = DSXConnectAPI.CONNECTORS_PREFIX
    encoded = quote(key, safe="")
    base = connector.dsx_connect_url
    url = service_url(base, API_PREFIX_V1, prefix, "state", uuid, "m365", encoded)
    header = build_outbound_auth_header(method, url, body)
    headers = {"Content-Type": "text/plain"} | ({"Authorization": header} if header else {})
    return httpx.request(method, url, content=body, headers=headers, timeout=10.0)


def step(name: str, *arguments: str) -> object:
    model = connector.connector_running_model
    match name:
        case "register":
            found = asyncio.run(connector.register_connector(model))
            return [found.status.value, get_runtime_hmac_credentials()[0]]
        case "unregister":
            return asyncio.run(connector.unregister_connector()).status.value
        case "put":
            return state_call("PUT", arguments[0], arguments[1].encode()).status_code
        case "get":
            answer = state_call("GET", arguments[0])
            return answer.json()["value"] if answer.status_code == 200 else answer.status_code
        case "scan":
            model.status = "ready"
            request = ScanRequestModel(location="a.txt", metainfo="a.txt")
            return asyncio.run(connector.scan_file_request(request)).message
    return model.uuid


if __name__ == "__main__":
    print(flush=True)  # after which answers begin
    for line in sys.stdin:
        print(f"answer {json.dumps(step(*json.loads(line)), default=str)}", flush=True)
