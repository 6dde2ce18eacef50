"""Tell the paths of APIs, which answer in JSON, from those of pages."""

import re

CHAT_PREFIX = "/api/"
CONNECTORS_PREFIX = "/dsx-connect/api/v1/connectors/"
STATE_PREFIX = f"{CONNECTORS_PREFIX}state/"
REGISTER_PATH = f"{CONNECTORS_PREFIX}register"
CHAT_SESSION_PATH = "/chat/session"  # log-ins of the chat page
API_PAGE = f"{CHAT_PREFIX}docs/"  # a page under the prefix of an API
HEALTH_PREFIXES = ("/livez", "/readyz", "/metrics")  # answered on the loop, as values are
API_PREFIXES = ("/dsx-connect/", CHAT_PREFIX, CHAT_SESSION_PATH, *HEALTH_PREFIXES, "/version")

# What connectors call at a dsx-connect and not here: the rest of its API, and its control plane.
DSX_CONNECT_PREFIX = "/dsx-connect/"
CONTROL_PLANE_PREFIXES = ("/api/v1/control-plane/", "/api/v1/execution/")
CONNECTOR_PREFIXES = tuple(f"{CONNECTORS_PREFIX}{c}" for c in ("state", "register", "unregister"))

# Pages of other origins may call these.
CHAT_PATHS_REGEX = rf"^{CHAT_PREFIX}"

# Programs inside a cluster call the APIs over plain HTTP; only pages are redirected to HTTPS, and
# what only a page calls.
HTTPS_REDIRECT_EXEMPT = [
    rf"^(?!{API_PAGE[1:]}){prefix.removeprefix('/')}"
    for prefix in API_PREFIXES
    if prefix != CHAT_SESSION_PATH
]

LOG_IN_PREFIXES = ("/api/token/", CHAT_SESSION_PATH)


def takes_bodies_of_anybody(path: str) -> bool:
    """Whether bodies are read before the sender is authenticated: of forms, and of log-ins."""
    return not is_api_path(path) or path.startswith(LOG_IN_PREFIXES)


def is_of_dsx_connect(path: str) -> bool:
    """Return whether only a dsx-connect serves this path."""
    return path.startswith(CONTROL_PLANE_PREFIXES) or (
        path.startswith(DSX_CONNECT_PREFIX) and not path.startswith(CONNECTOR_PREFIXES)
    )


def joined_well(path: str) -> str:
    """Return the path with one slash wherever it has several, as a base URL that ends in one makes.

    Keys may hold several: a path that a route takes needs none of this.
    """
    return re.sub("/{2,}", "/", path)


def is_api_path(path: str) -> bool:
    """Whether errors are answered in JSON, and the middlewares of pages are skipped."""
    if path.startswith("//"):  # no route does
        path = joined_well(path)
    return path.startswith(API_PREFIXES) and path != API_PAGE
