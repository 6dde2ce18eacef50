"""Each call: importing this describes them."""

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from pydantic import BaseModel

from common.openapi import QUERY, RETRY_AFTER, Describe, describe, error_answers
from connector_state.api.schema import errors
from connector_state.api.schema.parameters import (
    IF_MATCH,
    IF_NONE_MATCH,
    KEY,
    NS,
    PAGE_PARAMETERS,
    READ_PARAMETERS,
    TTL,
    UUID,
    etag_header,
    text,
)
from connector_state.api.schema.shapes import (
    ENROLS,
    SIGNED,
    BatchResults,
    Keys,
    Namespaces,
    Registered,
    Value,
)
from connector_state.core.batch import Batch
from connector_state.credentials.enrolment import Registration

VALUES, ENROLMENT = "Connector state", "Enrolment"
ETAG = "2c1743a391305fbf367df8e4f069f9f9b0be2ac1"


def _call(
    operation: str,
    summary: str,
    codes: tuple[str, ...],
    answers: dict[int, OpenApiResponse],
    *parameters: OpenApiParameter,
    tag: str = VALUES,
    auth: list[dict[str, list[str]]] = SIGNED,
    **more: object,
) -> Describe:
    return extend_schema(
        operation_id=operation,
        summary=summary,
        tags=[tag],
        auth=auth,  # type: ignore[arg-type]  # its names are not enough
        parameters=[*parameters, RETRY_AFTER],
        responses={**answers, **error_answers(errors.ERRORS, *codes)},
        **{"request": None, **more},  # type: ignore[arg-type]
    )


def _ok(model: type[BaseModel], example: object) -> OpenApiResponse:
    return OpenApiResponse(model, model.__doc__ or "", [OpenApiExample("answer", example)])


_DONE = OpenApiResponse(None, "Done.")
_at = (UUID, NS, KEY)
_read = (
    (*errors.OF_VALUE, "invalid_parameter", "invalid_request", "version_gone", "value_corrupt"),
    {
        200: _ok(Value, {"value": "deltaLink-token"}),
        304: OpenApiResponse(None, "The value still has the ETag of If-None-Match."),
    },
    *(*_at, *READ_PARAMETERS, etag_header(200, 304)),
)
_KEYS = {
    "keys": [{"key": "delta:user@contoso", "size": 15, "etag": ETAG, "ttl": None}],
    "next_cursor": None,
}

describe(
    "connector_state.api.views.StateView",
    get=_call("read_value", "Read a value", *_read),
    head=_call("read_value_headers", "Read the headers of a value", *_read),
    put=_call(
        "store_value",
        "Store a value",
        (*errors.OF_VALUE, *errors.WITH_BODY, *errors.WRITES, "value_not_utf8"),
        {204: _DONE},
        *(*_at, TTL, *IF_MATCH, *IF_NONE_MATCH, etag_header(204)),
        request={"text/plain": {"type": "string", "maxLength": 65536}},
        description="The body is the value, UTF-8 text, whatever its Content-Type.",
        examples=[OpenApiExample("a cursor", "deltaLink-token", media_type="text/plain")],
    ),
    delete=_call(
        "delete_value",
        "Delete a value, if there is one",
        (*errors.OF_VALUE, *errors.WRITES),
        {204: _DONE},
        *(*_at, *IF_MATCH, *IF_NONE_MATCH),
    ),
)
_list_keys = (
    (*errors.IN_NAMESPACE, *errors.PAGES),
    {200: _ok(Keys, _KEYS)},
    *(UUID, NS, *PAGE_PARAMETERS),
    text("prefix", QUERY, "What the keys begin with, at most 512 bytes."),
)
_list_namespaces = (
    (*errors.SIGNED, *errors.PAGES),
    {200: _ok(Namespaces, {"namespaces": [{"namespace": "m365", "keys": 1}], "next_cursor": None})},
    *(UUID, *PAGE_PARAMETERS),
)
describe(
    "connector_state.api.listing_views.NamespaceView",
    get=_call("list_keys", "List the keys of a namespace", *_list_keys),
    head=_call("check_keys", "Do as the GET does, without its body", *_list_keys),
    post=_call(
        "batch",
        "Read and write up to 100 keys of a namespace",
        (*errors.IN_NAMESPACE, *errors.BATCH),
        {200: _ok(BatchResults, {"results": [{"key": "cursor", "etag": ETAG}]})},
        *(UUID, NS),
        request=Batch,
        description=(
            "All writes happen, or none. Reads return the values from before the batch. Each key "
            "may be named once."
        ),
        examples=[
            OpenApiExample(
                "a batch",
                {
                    "operations": [
                        {"op": "get", "key": "delta"},
                        {"op": "put", "key": "cursor", "value": "42", "ttl": 3600},
                        {"op": "delete", "key": "lock", "if_match": ETAG},
                    ]
                },
                request_only=True,
            )
        ],
    ),
)
describe(
    "connector_state.api.listing_views.NamespacesView",
    get=_call("list_namespaces", "List the namespaces", *_list_namespaces),
    head=_call("check_namespaces", "Do as the GET does, without its body", *_list_namespaces),
)
_REGISTERED = {
    "status": "success",
    "message": "registered",
    "description": "connector 3f6c1f0e-6a5b-4b0e-9d52-0c1b7a3f0d11",
    "connector_uuid": "3f6c1f0e-6a5b-4b0e-9d52-0c1b7a3f0d11",
    "hmac_key_id": "l3mLrQz0nJ3gq0mK",
    "hmac_secret": "mI1q…=",
}
describe(
    "connector_state.api.enrolment_views.RegisterView",
    post=_call(
        "register",
        "Enrol a connector, or send its heartbeat",
        errors.REGISTERS,
        {
            201: _ok(Registered, _REGISTERED),
            200: _ok(Registered, {**_REGISTERED, "message": "refreshed"}),
        },
        tag=ENROLMENT,
        auth=ENROLS,
        request={"application/json": Registration},
        description=(
            "201 the first time, 200 with the same live credential afterwards. Without `uuid` each "
            "call makes a new connector. Further fields are ignored."
        ),
        examples=[
            OpenApiExample(
                "a connector",
                {"name": "m365", "url": "http://m365:8620", "uuid": _REGISTERED["connector_uuid"]},
                request_only=True,
            )
        ],
    ),
)
describe(
    "connector_state.api.enrolment_views.UnregisterView",
    delete=_call(
        "unregister",
        "Mark a connector as offline",
        (*errors.SIGNED, "bad_enrolment_token", "enrolment_off"),
        {204: _DONE},
        UUID,
        tag=ENROLMENT,
        auth=SIGNED + ENROLS,
        description="Signed by the connector, or with an enrolment token of its group.",
    ),
)
