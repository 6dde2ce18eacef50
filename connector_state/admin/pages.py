"""The base of the pages about a connector. When Redis does not answer they say so, with a 503."""

import logging
from typing import Any, ClassVar

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from redis.exceptions import RedisError

from common.admin.pages import AdminPage
from common.client_ip import client_address
from connector_state.errors import ConnectorStateError, Unavailable
from connector_state.models import Connector
from connector_state.operator_session import OperatorSession
from connector_state.store.scripts.connection import check_answer

logger = logging.getLogger(__name__)

NO_ANSWER = (
    "Redis does not answer, so what this connector has stored can't be shown or changed right "
    "now. Nothing was changed, as far as is known."
)
FULL = (
    "Redis is full: it has reached its maxmemory. Connectors can read and values can be deleted, "
    "but nothing can be stored. A value can't be shown either, since that is recorded in the "
    "audit. Raise maxmemory, or delete what is not needed."
)


class ConnectorPage(AdminPage):
    """A page at admin/connector_state/connector/UUID/…

    One that `asks_redis` gives up early when Redis is frozen.
    """

    model = Connector
    asks_redis: ClassVar[bool] = False
    converter = "uuid"
    errors = (RedisError, ConnectorStateError)

    @property
    def connector(self) -> Connector:
        connector: Connector = self.object
        return connector

    @property
    def object_label(self) -> str:
        return self.connector.name

    @property
    def uuid(self) -> str:
        """The connector's UUID, as the store takes it."""
        return str(self.connector.pk)

    @property
    def session(self) -> OperatorSession:
        """The connector's stored values, for this operator."""
        username = self.request.user.get_username()
        return OperatorSession.of(self.connector, username, client_address(self.request))

    def handle(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if self.asks_redis:
            check_answer([self.uuid])
        return super().handle(request, *args, **kwargs)

    def explain(self, error: RedisError | ConnectorStateError) -> tuple[int, str]:
        if isinstance(error, RedisError | Unavailable):
            logger.error("an admin page had no answer of Redis: %r", error)
            return 503, FULL if getattr(error, "code", "") == "store_full" else NO_ANSWER
        return 400, error.detail
