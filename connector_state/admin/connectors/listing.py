"""What the list of connectors adds to Django's: live credentials, use of Redis, filters."""

import logging
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from redis.exceptions import RedisError

from connector_state.admin.keys.pages import keys_url
from connector_state.models import Connector, Credential
from connector_state.store.usage import Usage, usage_of

logger = logging.getLogger(__name__)

UNKNOWN = "unknown"


def with_live_credentials(connectors: QuerySet[Connector]) -> QuerySet[Connector]:
    """Annotate connectors with `live_credentials`, their number."""
    live = Credential.objects.live().filter(connector=OuterRef("pk")).order_by()
    counted = live.values("connector").annotate(count=Count("pk")).values("count")
    number = Coalesce(Subquery(counted, output_field=IntegerField()), 0)
    return connectors.annotate(live_credentials=number)


def listed_usage(connector: Connector) -> Usage | None:
    """Return what a connector of the list uses; None when Redis did not answer."""
    return getattr(connector, "usage", None)


class ConnectorChangeList(ChangeList):
    """A page of connectors, each with its `usage`, in one round trip to Redis.

    For those who may see keys, each has its `keys_url` too.
    """

    redis_is_away = False

    def get_results(self, request: HttpRequest) -> None:
        """Read the page, and what its connectors use."""
        super().get_results(request)
        connectors = list(self.result_list)
        try:
            usage = usage_of(str(connector.pk) for connector in connectors)
        except RedisError as error:
            logger.error("the list of connectors had no answer of Redis: %r", error)
            self.redis_is_away = True
        else:
            for connector in connectors:
                connector.usage = usage[str(connector.pk)]
        if request.user.has_perm("connector_state.view_keys"):
            for connector in connectors:
                connector.keys_url = keys_url(str(connector.pk))
        self.result_list = connectors


class _YesNoFilter(admin.SimpleListFilter):
    """Connectors that meet a condition, or those that don't."""

    labels: ClassVar[tuple[str, str]]

    def condition(self) -> Q:
        raise NotImplementedError

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Both."""
        return list(zip(("1", "0"), self.labels, strict=True))

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """Those of the chosen one."""
        if self.value() not in ("1", "0"):
            return queryset
        condition = self.condition()
        return queryset.filter(condition if self.value() == "1" else ~condition)


class OfflineFilter(_YesNoFilter):
    """Offline since its own shutdown, or not."""

    title = "offline"
    parameter_name = "offline"
    labels = ("Yes", "No")

    def condition(self) -> Q:
        """Offline."""
        return Q(offline_at__isnull=False)


class OriginFilter(_YesNoFilter):
    """Enrolled, or created by an operator."""

    title = "origin"
    parameter_name = "enrolled"
    labels = ("Enrolled by token", "Added by hand")

    def condition(self) -> Q:
        """Enrolled."""
        return Q(enrolment_group__isnull=False)


class CredentialFilter(_YesNoFilter):
    """With a live credential, or with none."""

    title = "live credential"
    parameter_name = "live"
    labels = ("At least one", "None")

    def condition(self) -> Q:
        """With one."""
        return Q(pk__in=Credential.objects.live().order_by().values("connector"))
