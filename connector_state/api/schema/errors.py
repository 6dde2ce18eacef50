"""The error codes of connector state, and which calls answer which."""

from common.openapi import COMMON_ERRORS, Errors

ERRORS: Errors = {
    **COMMON_ERRORS,
    "invalid_namespace": (400, "The namespace is not 1 to 128 bytes without `:` and `/`."),
    "invalid_key": (400, "The key is not 1 to 512 bytes without control characters."),
    "invalid_query": (400, "The query has a `|`; send it as `%7C`."),
    "invalid_parameter": (400, "A parameter or a conditional header is malformed, or sent twice."),
    "unknown_parameter": (400, "Writes refuse parameters that they don't know."),
    "conflicting_conditions": (400, "A parameter and the header of the same meaning disagree."),
    "value_not_utf8": (400, "The value is not UTF-8 text."),
    "invalid_batch": (400, "The batch is malformed; the detail names the operation."),
    "invalid_json": (400, "The body is not a JSON object."),
    "invalid_registration": (400, "A field of the registration is missing or malformed."),
    "invalid_request": (400, "The request is malformed."),
    "not_authenticated": (401, "There are no credentials of the right scheme."),
    "malformed_header": (401, "The Authorization header is not of the form of DSX-HMAC."),
    "timestamp_out_of_window": (401, "`ts` is too far off the server's clock (60 s)."),
    "replayed": (401, "The nonce was used before."),
    "bad_signature": (401, "The key id or the signature is not valid."),
    "bad_enrolment_token": (401, "The enrolment token is wrong."),
    "other_connector": (403, "The credential belongs to another connector."),
    "namespace_not_allowed": (403, "The connector may not use this namespace."),
    "read_only": (403, "The connector may only read."),
    "quota_exceeded": (403, "The connector would exceed its quota of keys or bytes."),
    "enrolment_off": (403, "Enrolment is off: no tokens are configured."),
    "not_enrolled": (403, "The connector was not enrolled with a token of this group."),
    "connector_disabled": (403, "The connector is disabled."),
    "no_live_credential": (403, "The connector has no live credential."),
    "enrolment_full": (403, "No more connectors can enrol with this token."),
    "dsx_connect_full": (403, "No more connectors of the dsx-connect are taken in."),
    "not_served_here": (404, "Only a dsx-connect answers this call."),
    "version_gone": (404, "No version with this ETag is kept; read without `version`."),
    "length_required": (411, "Send the body with a Content-Length, not chunked."),
    "precondition_failed": (412, "What is stored is not what the condition names."),
    "value_too_large": (413, "The body, or one value in it, is over its limit."),
    "rate_limited": (429, "The connector, or its group, sent too many requests."),
    "value_corrupt": (500, "The stored value is not UTF-8 text; it was left as it is."),
    "store_unavailable": (503, "The store does not answer. A write may still be carried out."),
    "store_full": (503, "The store is full; reads, listings and deletes still work."),
    "store_denied": (503, "Redis refuses the service; an operator has to act."),
    "secret_unreadable": (503, "The credential can't be decrypted; an operator has to act."),
    "dsx_connect_unavailable": (503, "The dsx-connect that may know the key id does not answer."),
}

EVERYWHERE = (
    *("not_found", "invalid_path", "busy", "database_unavailable", "database_denied"),
    "server_error",
)
SIGNED = (
    *EVERYWHERE,
    *("invalid_query", "not_authenticated", "malformed_header", "timestamp_out_of_window"),
    *("replayed", "bad_signature", "other_connector", "dsx_connect_full", "length_required"),
    *("value_too_large", "rate_limited", "store_unavailable", "store_denied"),
    *("secret_unreadable", "dsx_connect_unavailable"),
)
IN_NAMESPACE = (*SIGNED, "invalid_namespace", "namespace_not_allowed")
OF_VALUE = (*IN_NAMESPACE, "invalid_key")
WITH_BODY = ("body_too_slow",)
WRITES = (
    *("invalid_parameter", "unknown_parameter", "conflicting_conditions", "precondition_failed"),
    *("invalid_request", "read_only", "quota_exceeded", "store_full"),
)
PAGES = ("invalid_parameter", "invalid_request")
BATCH = (*WITH_BODY, *WRITES, "invalid_batch", "invalid_key")
ENROLS = (*EVERYWHERE, "not_authenticated", "bad_enrolment_token", "enrolment_off")
REGISTERS = (
    *(*ENROLS, *WITH_BODY, "invalid_json", "invalid_registration", "length_required"),
    *("value_too_large", "not_enrolled", "connector_disabled", "no_live_credential"),
    *("enrolment_full", "rate_limited", "store_unavailable", "store_denied", "secret_unreadable"),
)
