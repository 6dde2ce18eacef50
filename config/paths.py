"""Which paths belong to programs (JSON alone), and which to people (pages)."""

CHAT_PREFIX = "/api/"
CONNECTORS_PREFIX = "/dsx-connect/api/v1/connectors/"
STATE_PREFIX = f"{CONNECTORS_PREFIX}state/"
REGISTER_PATH = f"{CONNECTORS_PREFIX}register"
API_PREFIXES = ("/dsx-connect/", CHAT_PREFIX, "/livez", "/readyz")

# What browsers of other origins may call.
CHAT_PATHS_REGEX = rf"^{CHAT_PREFIX}"

# Programs inside a cluster call these over plain HTTP; only pages are sent to HTTPS.
HTTPS_REDIRECT_EXEMPT = [rf"^{prefix.removeprefix('/')}" for prefix in API_PREFIXES]


# Forms, and the chat's log-in: their bodies are read before anybody knows who sends them.
LOG_IN_PREFIX = "/api/token/"


def takes_bodies_of_anybody(path: str) -> bool:
    """Whether a request's body is read here without credentials."""
    return not is_api_path(path) or path.startswith(LOG_IN_PREFIX)


def is_api_path(path: str) -> bool:
    """Whether errors on this path are JSON, and page middleware passes it by."""
    return path.startswith(API_PREFIXES)
