"""What drf-spectacular is told of the API as a whole."""

from config.version import VERSION

DESCRIPTION = """\
State for programs that keep none themselves: a key/value store for connectors, whose requests are
signed, and a chat with an assistant.

Every error is `{"detail": …, "code": …}`: the detail says what to change, the codes never change.
A method that a path does not know is answered 405 `method_not_allowed`.
"""

OPTIONS = {
    "TITLE": "Statekeep",
    "VERSION": VERSION,
    "DESCRIPTION": DESCRIPTION,
    "TAGS": [
        {
            "name": "Connector state",
            "description": "Values of connectors, for requests that are signed (DSX-HMAC).",
        },
        {"name": "Enrolment", "description": "Connectors register themselves with a token."},
        {"name": "Chat", "description": "Messages and conversations, for users with a token."},
        {"name": "Tokens", "description": "Log in, where the service itself issues tokens."},
        {"name": "Health", "description": "For supervisors and load balancers."},
    ],
    "OAS_VERSION": "3.1.1",
    "SCHEMA_PATH_PREFIX": "",
    "PREPROCESSING_HOOKS": ["config.openapi.document.add_endpoints"],
    "POSTPROCESSING_HOOKS": ["config.openapi.document.finish"],
    "COMPONENT_SPLIT_PATCH": False,
    "DISABLE_DOCSTRING_DESCRIPTIONS": True,  # they are for who reads the code
    "SORT_OPERATION_PARAMETERS": False,
    "APPEND_COMPONENTS": {
        "schemas": {
            "Error": {
                "type": "object",
                "properties": {
                    "detail": {"type": "string", "description": "What to change."},
                    "code": {"type": "string", "description": "Stable."},
                },
                "required": ["detail", "code"],
            },
            "Health": {
                "type": "object",
                "properties": {"status": {"enum": ["ok", "ready", "unready"]}},
                "additionalProperties": {"enum": ["ok", "does not answer", "can't be used"]},
                "required": ["status"],
            },
            "Version": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "version": {"type": "string"},
                    "revision": {
                        "type": ["string", "null"],
                        "description": "Of the source that the image was built of.",
                    },
                },
                "required": ["name", "version", "revision"],
            },
        }
    },
}
