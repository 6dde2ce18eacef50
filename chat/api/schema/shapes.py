"""The bodies of answers, and the way in which users say who they are."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field


class ToolCall(BaseModel):
    """A call of a tool, with its parameters and its result."""

    tool: str
    parameters: dict[str, Any]
    result: dict[str, Any]


class Answer(BaseModel):
    """The answer to a message."""

    reply: str
    conversation_id: int | str = Field(description="In the JSON type in which it was sent.")
    tool_calls: list[ToolCall]
    timestamp: datetime
    stopped: bool | None = Field(default=None, description="True if the user stopped it.")


class Described(BaseModel):
    """A conversation without its messages."""

    conversation_id: int | str
    title: str
    message_count: int
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None


class Conversations(BaseModel):
    """A page of conversations, newest first."""

    conversations: list[Described]
    has_more: bool
    next_cursor: str | None


class Message(BaseModel):
    """A message. The `turn_id` of one that another program wrote is null."""

    role: Literal["user", "assistant"]
    content: str
    timestamp: datetime
    tool_calls: list[ToolCall] | None
    turn_id: str | None
    status: Literal["stored", "waiting", "under way", "dead letter"]
    stopped: bool | None = None


class Messages(BaseModel):
    """A page of messages in order; `next_cursor`, as `before`, leads to older ones."""

    conversation_id: int | str
    title: str
    messages: list[Message]
    has_more: bool
    next_cursor: str | None


class Exported(BaseModel):
    """A whole conversation."""

    conversation_id: int | str
    user_id: str
    title: str
    created_at: datetime
    updated_at: datetime
    messages: list[Message]


class Stopped(BaseModel):
    """What became of the turn."""

    turn_id: str
    status: Literal["stopping", "stopped", "answered", "failed"]


class Access(BaseModel):
    """An access token."""

    access: str


class Session(Access):
    """An access token, and the user whom it names; the refresh token is a cookie."""

    user: str


class Tokens(Access):
    """An access token, and a refresh token for more of them."""

    refresh: str


def _event(name: str, data: dict[str, Any]) -> dict[str, Any]:
    as_json = {"type": "string", "contentMediaType": "application/json", "contentSchema": data}
    properties = {"event": {"const": name}, "data": as_json}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


_TEXT = {"type": "string"}
# Of each event; OpenAPI 3.1 has no word for a stream of them.
EVENT = {
    "oneOf": [
        _event("accepted", _object(conversation_id={"type": ["integer", "string"]}, turn_id=_TEXT)),
        _event("tool_call", {"$ref": "#/components/schemas/ToolCall"}),
        _event("delta", _object(text=_TEXT)),
        _event(
            "done",
            {
                "allOf": [
                    {"$ref": "#/components/schemas/Answer"},
                    _object(degraded={"type": "boolean"}),
                ]
            },
        ),
        _event("error", _object(status={"type": "integer"}, code=_TEXT, detail=_TEXT)),
    ]
}

SECURITY_SCHEMES = {
    "UserToken": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "Of `POST /api/token/`, or of the configured identity provider.",
    }
}
TOKEN = [{"UserToken": list[str]()}]
