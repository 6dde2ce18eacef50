"""The list of connectors, and the page of one."""

from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Lower
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern
from django.utils.html import format_html, format_html_join
from django.utils.text import Truncator

from connector_state.admin import audit_page, credentials
from connector_state.admin.connectors import adding, enabling
from connector_state.admin.connectors.facts import facts_of
from connector_state.admin.connectors.listing import (
    UNKNOWN,
    ConnectorChangeList,
    CredentialFilter,
    OfflineFilter,
    OriginFilter,
    listed_usage,
    with_live_credentials,
)
from connector_state.admin.connectors.policy_form import PolicyForm, describe_changes
from connector_state.admin.keys import deletion, edit, listing, transfer, unindexed, value
from connector_state.admin.keys.pages import keys_url
from connector_state.admin.presentation import visible_name
from connector_state.credentials import marks
from connector_state.models import Connector
from connector_state.store.usage import NAMESPACES_COUNTED, last_seen_at

# Whose pages stand beneath a connector's.
BENEATH = (audit_page, credentials, deletion, edit, listing, enabling, transfer, unindexed, value)

FIELD_FILTERS = ("enabled__exact", "read_only__exact")
NAMESPACES_SHOWN = 3
NAME_SHOWN = 80  # characters


class ConnectorAdmin(admin.ModelAdmin):
    """Connectors."""

    form = PolicyForm
    fieldsets = [
        (None, {"fields": ["name"]}),
        ("Policy", {"fields": ["enabled", "read_only", "allowed_namespaces"]}),
        ("Limits", {"fields": ["max_keys", "max_bytes", "max_requests_per_second"]}),
    ]
    list_display = (
        "connector",
        "state",
        "namespaces",
        "keys",
        "size",
        "last_seen",
        "live_credentials",
    )
    list_filter = ("enabled", OfflineFilter, "read_only", OriginFilter, CredentialFilter)
    list_per_page = 50
    ordering = (Lower("name"), "uuid")
    search_fields = ("name", "uuid", "url", "credentials__key_id")
    search_help_text = "Name, UUID, url or key id"
    actions = None

    class Media:
        css = {"all": ["connector_state/admin.css"]}

    def get_urls(self) -> list[URLPattern]:
        """The pages beneath a connector's, and ModelAdmin's own."""
        return [*(url for module in BENEATH for url in module.urls()), *super().get_urls()]

    # --- Who may do what ------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Whoever adds a connector is shown its first credential."""
        return adding.is_permitted(request)

    def has_delete_permission(self, request: HttpRequest, obj: Connector | None = None) -> bool:
        """Nobody: its keys would stay in Redis. It can be disabled."""
        return False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Those of the filters: `name__regex` could be made to compute for ever."""
        ours = {getattr(each, "parameter_name", "") for each in self.list_filter}
        return lookup in {*ours, *FIELD_FILTERS}

    # --- The list -------------------------------------------------------------------------------

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ConnectorChangeList]:
        """The list with what its connectors use of Redis."""
        return ConnectorChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Connector]:
        """Connectors with their number of live credentials."""
        return with_live_credentials(super().get_queryset(request))

    def get_list_display(self, request: HttpRequest) -> Any:
        """Namespaces are parts of keys: only for those who may see keys."""
        hidden = () if request.user.has_perm("connector_state.view_keys") else ("namespaces",)
        return [column for column in self.list_display if column not in hidden]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list, under its own name."""
        return super().changelist_view(request, {"title": "Connectors"})

    @admin.display(description="connector", ordering=Lower("name"))
    def connector(self, connector: Connector) -> str:
        """Its name and UUID."""
        name = Truncator(visible_name(connector.name)).chars(NAME_SHOWN)
        return format_html("{}<br><small>{}</small>", name, connector.pk)

    @admin.display(description="status", ordering="enabled")
    def state(self, connector: Connector) -> str:
        """Enabled, disabled or offline, and whether it may only read."""
        return connector.status + (", read only" if connector.read_only else "")

    @admin.display(description="namespaces")
    def namespaces(self, connector: Connector) -> str:
        """The first few, each with its keys, and how many more there are."""
        usage = listed_usage(connector)
        if usage is None:
            return UNKNOWN
        links = (
            (keys_url(str(connector.pk), namespace=namespace), visible_name(namespace))
            for namespace in usage.namespaces[:NAMESPACES_SHOWN]
        )
        shown = format_html_join(", ", '<a href="{}">{}</a>', links)
        more = len(usage.namespaces) - NAMESPACES_SHOWN
        if more <= 0:
            return shown or "none"
        at_least = "at least " if len(usage.namespaces) == NAMESPACES_COUNTED else ""
        return format_html("{} and {}{} more", shown, at_least, more)

    @admin.display(description="keys")
    def keys(self, connector: Connector) -> str:
        """Their number, which leads to them."""
        usage = listed_usage(connector)
        if usage is None:
            return UNKNOWN
        number = f"{usage.keys:,}"
        url = getattr(connector, "keys_url", "")
        return format_html('<a href="{}">{}</a>', url, number) if url else number

    @admin.display(description="size")
    def size(self, connector: Connector) -> str:
        """The bytes of all values."""
        usage = listed_usage(connector)
        return UNKNOWN if usage is None else filesizeformat(usage.bytes)

    @admin.display(description="last seen")
    def last_seen(self, connector: Connector) -> str:
        """By a heartbeat of enrolment, or by the use of a credential. UTC."""
        usage = listed_usage(connector)
        if usage is None:
            return UNKNOWN
        at = last_seen_at(connector, usage)
        return "never" if at is None else f"{at:%Y-%m-%d %H:%M}"

    @admin.display(description="key ids", ordering="live_credentials")
    def live_credentials(self, connector: Connector) -> str:
        """How many are live."""
        return f"{getattr(connector, 'live_credentials', 0) or 'none'} live"

    # --- The pages of one -----------------------------------------------------------------------

    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Add a connector, and show its first credential."""
        return adding.add_connector(request)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """A connector: its facts and use, the form of its name and policy, its credentials."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied  # ModelAdmin would look for the connector first
        connector = self.get_object(request, object_id)
        context = {
            "title": visible_name(connector.name) if connector is not None else "Connector",
            "subtitle": None,
            "show_save_and_continue": False,
            "show_save_and_add_another": False,
        }
        if connector is not None:
            context |= facts_of(connector)
        return super().change_view(request, object_id, form_url, context)

    def save_model(
        self, request: HttpRequest, obj: Connector, form: ModelForm, change: bool
    ) -> None:
        """Write what the operator changed alone: heartbeats and other operators write as well."""
        obj.save(update_fields=form.changed_data)
        if "enabled" in form.changed_data:
            tell = partial(messages.warning, request)
            transaction.on_commit(partial(marks.mark_enabled, obj.pk, tell))

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> list[dict[str, dict[str, list[str]]]]:
        """What was changed, from what, to what."""
        changes = describe_changes(form)
        return [{"changed": {"fields": changes}}] if changes else []

    def response_change(self, request: HttpRequest, obj: Connector) -> HttpResponseRedirect:
        """Stay on the connector's page."""
        messages.success(request, "Saved. The policy is effective within 2 s on every worker.")
        return redirect("admin:connector_state_connector_change", obj.pk)

    def delete_view(
        self,
        request: HttpRequest,
        object_id: str,
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Nobody's, whether there is such a connector or not."""
        raise PermissionDenied

    def history_view(
        self,
        request: HttpRequest,
        object_id: str,
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """What operators did. It names keys."""
        may_view = self.has_view_or_change_permission(request)
        if not may_view or not request.user.has_perm("connector_state.view_keys"):
            raise PermissionDenied
        return super().history_view(request, object_id, {"title": "History"})
