"""Accept a connector's credential of the dsx-connect, and stop accepting it."""

import logging
from typing import Any

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from redis.exceptions import RedisError

from common.admin.pages import ConfirmationPage
from common.visible import visible_name
from connector_state.admin.pages import ConnectorPage
from connector_state.credentials import dsx_connect
from connector_state.models import Connector

logger = logging.getLogger(__name__)

PERMISSIONS = ("connector_state.change_connector", "connector_state.add_credential")


def dsx_connect_facts(connector: Connector) -> dict[str, Any] | None:
    """Return the connector's key id in the dsx-connect, or None if nothing is looked up there.

    `answers` is False when its Redis does not answer; `key_id` is None when it has none.
    """
    if not settings.DSX_CONNECT_REDIS_URL:
        return None
    try:
        return {"answers": True, "key_id": dsx_connect.key_id_of(str(connector.pk))}
    except RedisError as error:
        logger.warning("the dsx-connect's Redis does not answer: %r", error)
        return {"answers": False, "key_id": None}


class _SwitchPage(ConfirmationPage, ConnectorPage):
    permissions = PERMISSIONS
    accepts: bool
    done: str

    def post(self, request: HttpRequest) -> HttpResponse:
        if self.connector.accepts_dsx_connect != self.accepts:
            self.connector.accepts_dsx_connect = self.accepts
            with transaction.atomic():
                self.connector.save(update_fields=["accepts_dsx_connect"])
                self.record(self.done)
        return self.leave(f"{self.done} That holds within 2 s on every worker.")


class AcceptPage(_SwitchPage):
    """Lets the connector in with the credential that it has in the dsx-connect."""

    title = button = "Accept its dsx-connect credential"
    accepts = True
    done = "Accepted the credential of the dsx-connect."

    def question(self) -> dict[str, Any]:
        name = visible_name(self.connector.name)
        words = (
            f"Whoever has the credential of “{name}” in the dsx-connect will read and write what "
            "this connector has stored, within its policy."
        )
        note = (
            "The dsx-connect gives that credential to anybody who holds one of its enrolment "
            "tokens and knows the UUID. The credentials that were issued here stay as they are."
        )
        return {"words": words, "note": note}


class RefusePage(_SwitchPage):
    """Refuses the credential that the connector has in the dsx-connect."""

    title = button = "Refuse its dsx-connect credential"
    accepts = False
    done = "Refused the credential of the dsx-connect."

    def question(self) -> dict[str, Any]:
        words = (
            f"Calls of “{visible_name(self.connector.name)}” that are signed with its credential "
            "of the dsx-connect will be refused within 2 s."
        )
        return {"words": words, "note": "The credentials that were issued here stay as they are."}
