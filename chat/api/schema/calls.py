"""Each call: importing this describes them."""

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from pydantic import BaseModel

from chat.api.answers import DEGRADED
from chat.api.conversation_views import PAGE_DEFAULT, PAGE_MAX
from chat.api.parsing import ChatBody, LoginBody, RefreshBody, RenameBody
from chat.api.schema import errors, shapes
from chat.conversations.state import CONVERSATION_ID
from common.openapi import HEADER, PATH, QUERY, RETRY_AFTER, Describe, describe, error_answers

CHAT, TOKENS = "Chat", "Tokens"

USER = OpenApiParameter("user_id", str, PATH, description="The user of the token.")
ID = OpenApiParameter(
    "conversation_id", {"type": "string", "pattern": f"^{CONVERSATION_ID}$"}, PATH
)
TURN = OpenApiParameter("turn_id", {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"}, PATH)
LIMIT = OpenApiParameter(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_DEFAULT},
    QUERY,
    description="How many a page has.",
)
CURSOR = OpenApiParameter("cursor", str, QUERY, description="`next_cursor` of the page before.")
SEARCH = OpenApiParameter("search", str, QUERY, description="What titles have to contain.")
BEFORE = OpenApiParameter("before", str, QUERY, description="`next_cursor` of the page after.")
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "pattern": "^[!-~]([ -~]{0,253}[!-~])?$"},
    HEADER,
    description="Makes a repeat of the message harmless.",
)
IS_DEGRADED = OpenApiParameter(
    DEGRADED,
    {"type": "string", "enum": ["true"]},
    HEADER,
    description="The conversation could not be read or saved for this answer.",
    response=[200, 204, 502, 504],
)

ANSWER = {
    "reply": "I've added 'Buy groceries' to your task list.",
    "conversation_id": 1,
    "tool_calls": [
        {"tool": "add_task", "parameters": {"title": "Buy groceries"}, "result": {"task_id": 42}},
    ],
    "timestamp": "2025-12-25T10:00:02Z",
}
MESSAGE = {
    "role": "user",
    "content": "Add task: Buy groceries",
    "timestamp": "2025-12-25T10:00:00Z",
    "tool_calls": None,
    "turn_id": "0646c12d5d8c00a1b2c3d4e5",
    "status": "stored",
}
TITLED = {"conversation_id": 1, "title": "Add task: Buy groceries"}
CONVERSATION = {
    **TITLED,
    "message_count": 2,
    "created_at": "2025-12-25T10:00:00Z",
    "updated_at": "2025-12-25T10:00:02Z",
    "expires_at": "2026-01-24T10:00:02Z",
}
EVENTS = OpenApiResponse(
    shapes.EVENT,
    "With `Accept: text/event-stream` the answer comes as server-sent events: `accepted` "
    "(conversation_id, turn_id), `tool_call` (tool, parameters, result), `delta` (text), and at "
    "the end `done` (the JSON answer, and degraded) or `error` (status, code, detail).",
    [
        OpenApiExample(
            "events",
            {"event": "delta", "data": '{"text": "I\'ve added"}'},
            media_type="text/event-stream",
        )
    ],
)


def _call(
    operation: str,
    summary: str,
    codes: tuple[str, ...],
    answers: dict[object, OpenApiResponse],
    *parameters: OpenApiParameter,
    tag: str = CHAT,
    request: type[BaseModel] | None = None,
    example: object = None,
    description: str = "",
) -> Describe:
    return extend_schema(
        operation_id=operation,
        summary=summary,
        description=description or None,
        tags=[tag],
        auth=shapes.TOKEN if tag == CHAT else [],  # type: ignore[arg-type]  # names are not enough
        parameters=[*parameters, RETRY_AFTER],
        request={"application/json": request} if request else None,
        responses={**answers, **error_answers(errors.ERRORS, *codes)},
        examples=[OpenApiExample("body", example, request_only=True)] if request else [],
    )


def _ok(model: type[BaseModel], example: object) -> dict[object, OpenApiResponse]:
    answer = OpenApiResponse(model, model.__doc__ or "", [OpenApiExample("answer", example)])
    return {(200, "application/json"): answer}


describe(
    "chat.api.views.ChatView",
    post=_call(
        "send_message",
        "Send a message",
        errors.MESSAGE,
        {**_ok(shapes.Answer, ANSWER), (200, "text/event-stream"): EVENTS},
        *(USER, IDEMPOTENCY_KEY, IS_DEGRADED),
        request=ChatBody,
        example={"message": "Add task: Buy groceries", "conversation_id": 1},
        description=f"Without `conversation_id` it begins a conversation. {EVENTS.description}",
    ),
)
describe(
    "chat.api.views.StopView",
    post=_call(
        "stop_turn",
        "End a reply where it is",
        errors.USERS,
        _ok(shapes.Stopped, {"turn_id": MESSAGE["turn_id"], "status": "stopping"}),
        *(USER, ID, TURN),
        description="A turn that is over stays as it is.",
    ),
)
describe(
    "chat.api.conversation_views.ConversationsView",
    get=_call(
        "list_conversations",
        "List the user's conversations",
        (*errors.USERS, *errors.PAGE, "invalid_search"),
        _ok(
            shapes.Conversations,
            {"conversations": [CONVERSATION], "has_more": False, "next_cursor": None},
        ),
        *(USER, LIMIT, CURSOR, SEARCH),
    ),
)
describe(
    "chat.api.conversation_views.ConversationView",
    patch=_call(
        "rename_conversation",
        "Give a conversation a title",
        (*errors.READ, *errors.BODY),
        _ok(shapes.Described, {**CONVERSATION, "title": "Groceries"}),
        *(USER, ID),
        request=RenameBody,
        example={"title": "Groceries"},
    ),
    delete=_call(
        "delete_conversation",
        "Delete a conversation, if there is one",
        errors.DELETION,
        {204: OpenApiResponse(None, "Deleted, or (degraded) to be deleted later.")},
        *(USER, ID, IS_DEGRADED),
    ),
)
describe(
    "chat.api.conversation_views.MessagesView",
    get=_call(
        "read_messages",
        "Read a conversation",
        (*errors.READ, *errors.PAGE),
        _ok(
            shapes.Messages,
            {**TITLED, "messages": [MESSAGE], "has_more": False, "next_cursor": None},
        ),
        *(USER, ID, LIMIT, BEFORE, IS_DEGRADED),
    ),
)
describe(
    "chat.api.conversation_views.ExportView",
    get=_call(
        "export_conversation",
        "Export a conversation as a file",
        errors.READ,
        _ok(
            shapes.Exported,
            {
                **TITLED,
                **{name: CONVERSATION[name] for name in ("created_at", "updated_at")},
                "user_id": "demo",
                "messages": [MESSAGE],
            },
        ),
        *(USER, ID),
    ),
)
describe(
    "chat.api.token_views.TokenView",
    post=_call(
        "log_in",
        "Log in",
        (*errors.TOKENS, "bad_credentials", "locked_out"),
        _ok(shapes.Tokens, {"access": "eyJ…", "refresh": "eyJ…"}),
        tag=TOKENS,
        request=LoginBody,
        example={"username": "demo", "password": "…"},
    ),
)
describe(
    "chat.api.token_views.RefreshView",
    post=_call(
        "refresh_token",
        "Get another access token",
        (*errors.TOKENS, "bad_token"),
        _ok(shapes.Access, {"access": "eyJ…"}),
        tag=TOKENS,
        request=RefreshBody,
        example={"refresh": "eyJ…"},
    ),
)
describe(
    "chat.page.views.SessionView",
    post=_call(
        "log_in_at_page",
        "Log in at the chat page",
        (*errors.TOKENS, "other_origin", "bad_credentials", "locked_out"),
        _ok(shapes.Session, {"access": "eyJ…", "user": "demo"}),
        tag=TOKENS,
        request=LoginBody,
        example={"username": "demo", "password": "…"},
    ),
    patch=_call(
        "refresh_at_page",
        "Get another access token by the page's cookie",
        (*errors.SESSION, "not_authenticated", "bad_token"),
        _ok(shapes.Session, {"access": "eyJ…", "user": "demo"}),
        tag=TOKENS,
    ),
    delete=_call(
        "log_out_at_page",
        "Log out",
        errors.SESSION,
        {204: OpenApiResponse(None, "The refresh token has ended.")},
        tag=TOKENS,
    ),
)
