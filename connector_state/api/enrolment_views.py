"""The calls `register` and `unregister`, as real connectors send them."""

import json
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from pydantic import ValidationError
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission

from common.client_ip import client_address
from common.json_answers import json_response, no_content
from connector_state.api.authentication import OwnConnector, check_length
from connector_state.api.views import ConnectorAPIView
from connector_state.core.bodies import refusal
from connector_state.credentials import enrolment
from connector_state.credentials.counters import failures
from connector_state.errors import Forbidden, InvalidRequest
from connector_state.store.calls import claim

REGISTER_MAX_BODY_BYTES = 65_536


class EnrolmentTokenAuthentication(BaseAuthentication):
    """Authenticate by `X-Enrollment-Token: <token>` or `Authorization: Bearer <token>`.

    The view's principal is the token's group; its nonce is None, as these calls have none.
    """

    def authenticate(self, request: HttpRequest) -> tuple[str, None] | None:
        if not settings.ENROLLMENT_TOKENS:
            raise Forbidden(
                "Enrolment is off: no ENROLLMENT_TOKENS are configured.", code="enrolment_off"
            )
        token = enrolment_token(request)
        if token is None:
            return None
        group = enrolment.group_of(token)
        if group is None:
            failures.count_unlogged("bad_enrolment_token")
            raise AuthenticationFailed("The enrolment token is wrong.", code="bad_enrolment_token")
        return group, None

    def authenticate_header(self, request: HttpRequest) -> str:
        return 'Bearer realm="enrolment"'


def enrolment_token(request: HttpRequest) -> str | None:
    """Return the enrolment token of a request, or None if it has none."""
    return token_in(request.META)


def token_in(environ: Mapping[str, Any]) -> str | None:
    """Return the enrolment token in a WSGI environ, or None if it has none."""
    # An empty one is none, as to a dsx-connect, which takes one or the other.
    if token := str(environ.get("HTTP_X_ENROLLMENT_TOKEN", "")).strip():
        return token
    scheme, _, rest = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else None


class HasToken(BasePermission):
    """Require an enrolment token; a wrong one has been refused before this."""

    def has_permission(self, request: HttpRequest, view: Any) -> bool:
        return view.principal is not None  # "" is a group like any other


class RegisterView(ConnectorAPIView):
    """Enrol a connector, or take its heartbeat (POST).

    Answers 201 the first time and 200 afterwards, with the same live credential: to a connector
    that an operator made, without one.
    """

    http_method_names = ["post"]
    permission_classes = [HasToken]
    max_body_bytes = REGISTER_MAX_BODY_BYTES

    def get_authenticators(self) -> list[BaseAuthentication]:
        return [EnrolmentTokenAuthentication()]

    def post(self, request: HttpRequest) -> HttpResponse:
        registration = _read_registration(request)
        address = client_address(request)
        registered = enrolment.register(registration, self.principal, address)
        message, status = ("registered", 201) if registered.is_new else ("refreshed", 200)
        uuid = str(registered.connector.uuid)
        answer = {"status": "success", "message": message, "description": f"connector {uuid}"}
        credential = registered.issued.as_json() if registered.issued else {"connector_uuid": uuid}
        return json_response({**answer, **credential}, status=status)


class UnregisterView(ConnectorAPIView):
    """Mark a connector as offline when it shuts down (DELETE).

    It comes with an enrolment token, or signed by the connector itself.
    """

    http_method_names = ["delete"]

    def get_authenticators(self) -> list[BaseAuthentication]:
        if enrolment_token(self.request) is not None:
            return [EnrolmentTokenAuthentication()]
        return super().get_authenticators()

    def get_permissions(self) -> list[Any]:
        # A signature is good for the connector's own UUID; delete() checks what a token may do.
        return [HasToken() if enrolment_token(self.request) is not None else OwnConnector()]

    def delete(self, request: HttpRequest, connector_uuid: str) -> HttpResponse:
        if self.nonce is None:
            enrolment.unregister(connector_uuid, self.principal)
        else:
            claim(self.principal.uuid, self.caller)
            enrolment.unregister(connector_uuid)
        return no_content()


def _read_registration(request: HttpRequest) -> enrolment.Registration:
    check_length(request, REGISTER_MAX_BODY_BYTES)
    try:
        data = json.loads(request.body)
    except (ValueError, RecursionError):
        raise InvalidRequest("The body must be a JSON object.", code="invalid_json") from None
    try:
        return enrolment.Registration.model_validate(data)
    except ValidationError as error:
        raise refusal(error, "invalid_registration") from None
