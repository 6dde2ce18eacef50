"""What the pages beneath a connector's have in common.

Each is one class with one permission, which every method of it needs. When Redis is away it says
so, with a 503, and the rest of admin works.
"""

import logging
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path
from django.views import View
from redis.exceptions import RedisError

from connector_state.errors import ConnectorStateError, Unavailable
from connector_state.models import Connector
from connector_state.store.operator_session import OperatorSession

logger = logging.getLogger(__name__)


class ConnectorPage(View):
    """A page at admin/connector_state/connector/UUID/…, for staff with `permission`.

    A value may be on it, so no cache keeps it.
    """

    permission: ClassVar[str]
    title: ClassVar[str]
    template: ClassVar[str]

    connector: Connector

    @classmethod
    def at(cls, route: str, name: str) -> URLPattern:
        """Return the path of this page beneath its connector's, named connector_state_NAME."""
        view = admin.site.admin_view(cls.as_view())
        return path(f"<uuid:uuid>/{route}", view, name=f"connector_state_{name}")

    def dispatch(
        self, request: HttpRequest, *args: Any, uuid: UUID, **kwargs: Any
    ) -> HttpResponseBase:
        """Check the permission, find the connector, and answer."""
        if not request.user.has_perm(self.permission):
            raise PermissionDenied
        self.connector = get_object_or_404(Connector, pk=uuid)
        try:
            response = super().dispatch(request, *args, **kwargs)
        except (RedisError, Unavailable) as error:
            logger.error("an admin page had no answer of Redis: %r", error)
            context = {"is_full": getattr(error, "code", "") == "store_full"}
            response = self.render(context, "admin/connector_state/unavailable.html", 503)
        except ConnectorStateError as error:
            response = self.render({"error": error}, "admin/connector_state/refused.html", 400)
        response.headers["Cache-Control"] = "no-store"
        return response

    def render(
        self, context: dict[str, Any], template: str | None = None, status: int = 200
    ) -> HttpResponse:
        """Return the page with this context and what all pages of admin have."""
        context = {
            **admin.site.each_context(self.request),
            "opts": Connector._meta,
            "connector": self.connector,
            "title": self.title,
            **context,
        }
        return render(self.request, template or self.template, context, status=status)

    @property
    def uuid(self) -> str:
        """The connector's UUID, as the store takes it."""
        return str(self.connector.pk)

    @property
    def session(self) -> OperatorSession:
        """The connector's state, and the operator."""
        return OperatorSession.of(self.connector, self.request.user.get_username())

    def record(self, message: str) -> None:
        """Enter what was done into admin's history of the connector. Never a value."""
        user_id = self.request.user.pk
        assert user_id is not None  # admin_view lets nobody in who has not logged in
        LogEntry.objects.log_actions(user_id, [self.connector], CHANGE, message, single_object=True)
