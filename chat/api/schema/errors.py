"""The error codes of the chat, and which calls answer which."""

from common.openapi import COMMON_ERRORS, Errors

ERRORS: Errors = {
    **COMMON_ERRORS,
    "not_found": (404, "The user has no such conversation, or there is no such path."),
    "invalid_request": (400, "The request is malformed; the detail names the field."),
    "invalid_json": (400, "The body is not a JSON object."),
    "invalid_conversation_id": (400, "The id is not 1 to 50 letters, digits, `-` or `_`."),
    "invalid_idempotency_key": (400, "The key is not 1 to 255 printable ASCII characters."),
    "invalid_limit": (400, "`limit` is not from 1 to 200."),
    "invalid_cursor": (400, "The cursor is not one that this call returned."),
    "invalid_search": (400, "`search` holds a character that no title can hold."),
    "length_required": (400, "Send the body with a Content-Length."),
    "not_authenticated": (401, "There is no bearer token."),
    "bad_token": (401, "The token is not valid, or it has expired."),
    "token_expired": (401, "The token has expired."),
    "wrong_token_type": (401, "This is a refresh token; send the access token."),
    "no_user": (401, "The token names no user."),
    "bad_credentials": (401, "The user name or the password is wrong."),
    "other_user": (403, "The path names another user than the token does."),
    "other_origin": (403, "The call is not from the chat page, by its header Origin."),
    "tokens_elsewhere": (404, "An identity provider issues the tokens."),
    "idempotency_key_reused": (409, "The Idempotency-Key was used with another body."),
    "turn_in_progress": (409, "The message is being answered, or its process died just now."),
    "conversation_deleted": (409, "The conversation was deleted meanwhile."),
    "body_too_large": (413, "The body is over its limit."),
    "unsupported_media_type": (415, "Send the body as application/json."),
    "rate_limited": (429, "The user sent too many messages in the last minute."),
    "too_many_turns": (429, "Too many of the user's messages are being answered."),
    "too_many_deletions": (429, "Too many of the user's deletions wait for the store."),
    "locked_out": (429, "Too many failed logins from this address."),
    "model_failed": (502, "The model failed. The message is kept; send it again."),
    "model_timeout": (504, "The model did not answer in time. The message is kept."),
    "jwks_unavailable": (503, "The keys to verify tokens with can't be fetched."),
    "chat_store_unavailable": (503, "The conversation store can't be reached right now."),
    "conversation_corrupt": (503, "The stored conversation can't be read."),
    "interrupted": (503, "Only as an event: the answer was interrupted; send it again."),
}

_EVERYWHERE = ("invalid_path", "busy", "database_unavailable", "database_denied", "server_error")
USERS = (
    *(*_EVERYWHERE, "not_found", "not_authenticated", "bad_token", "token_expired"),
    *("wrong_token_type", "no_user", "other_user", "jwks_unavailable"),
)
PAGE = ("invalid_limit", "invalid_cursor")
CONVERSATION = (*USERS, "invalid_conversation_id")
READ = (*CONVERSATION, "chat_store_unavailable", "conversation_corrupt")
BODY = (
    *("invalid_request", "invalid_json", "length_required", "body_too_slow", "body_too_large"),
    "unsupported_media_type",
)
MESSAGE = (
    *(*USERS, *BODY, "invalid_idempotency_key", "idempotency_key_reused", "turn_in_progress"),
    *("conversation_deleted", "rate_limited", "too_many_turns", "model_failed", "model_timeout"),
    "interrupted",
)
DELETION = (*CONVERSATION, "too_many_deletions")
SESSION = (*_EVERYWHERE, "tokens_elsewhere", "other_origin")
TOKENS = (*_EVERYWHERE, *BODY, "tokens_elsewhere")
