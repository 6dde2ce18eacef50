"""The list of connectors, and the page of one."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.db.models.functions import Lower
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import URLPattern
from django.utils.html import format_html
from django.utils.text import Truncator

from common.admin.lists import is_own_lookup
from common.visible import visible_name
from connector_state.admin.connectors import adding, listing
from connector_state.admin.connectors.facts import facts_of
from connector_state.admin.connectors.policy_form import PolicyForm, describe_changes
from connector_state.admin.urls import urlpatterns
from connector_state.models import Connector

NAME_SHOWN = 80  # characters


class ConnectorAdmin(admin.ModelAdmin):
    """The list, the page of one connector, and the URLs of all pages beneath it."""

    form = PolicyForm
    fieldsets = [
        (None, {"fields": ["name"]}),
        ("Policy", {"fields": ["read_only", "allowed_namespaces"]}),
        ("Limits", {"fields": ["max_keys", "max_bytes", "max_requests_per_second"]}),
    ]
    list_display = (
        *("connector", "state", "namespaces", "keys", "size", "last_seen"),
        "live_credentials",
    )
    list_filter = listing.FILTERS
    list_per_page = 50
    ordering = (Lower("name"), "uuid")
    search_fields = ("name", "uuid", "url", "credentials__key_id")
    search_help_text = "Name, UUID, url or key id"
    actions = None

    class Media:
        css = {"all": ["connector_state/admin.css"]}

    def get_urls(self) -> list[URLPattern]:
        return [*urlpatterns, *super().get_urls()]

    # --- Permissions ----------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return adding.is_permitted(request)  # which takes more: the first credential is shown

    def has_delete_permission(self, request: HttpRequest, obj: Connector | None = None) -> bool:
        return False  # its keys would stay in Redis; it can be disabled

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return is_own_lookup(self.list_filter, lookup)

    # --- The list -------------------------------------------------------------------------------

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return listing.ConnectorChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Connector]:
        return listing.with_live_credentials(super().get_queryset(request))

    def get_list_display(self, request: HttpRequest) -> Any:
        # Namespaces are parts of keys, so only who may see keys sees them.
        hidden = () if request.user.has_perm("connector_state.view_keys") else ("namespaces",)
        return [column for column in self.list_display if column not in hidden]

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().changelist_view(request, {"title": "Connectors"})

    @admin.display(description="connector", ordering=Lower("name"))
    def connector(self, connector: Connector) -> str:
        name = Truncator(visible_name(connector.name)).chars(NAME_SHOWN)
        return format_html("{}<br><small>{}</small>", name, connector.pk)

    @admin.display(description="status", ordering="enabled")
    def state(self, connector: Connector) -> str:
        return connector.status + (", read only" if connector.read_only else "")

    namespaces = listing.usage_column("namespaces", listing.namespaces_in_words)
    keys = listing.usage_column("keys", listing.keys_in_words, Lower("name"))
    size = listing.usage_column("size", listing.size_in_words, Lower("name"))
    last_seen = listing.usage_column("last seen", listing.last_seen_in_words, "last_seen_at")

    @admin.display(description="key ids", ordering="live_credentials")
    def live_credentials(self, connector: Any) -> str:
        theirs = ", and the dsx-connect's" if connector.accepts_dsx_connect else ""
        return f"{connector.live_credentials or 'none'} live{theirs}"

    # --- The pages of one -----------------------------------------------------------------------

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return adding.add_connector(request)

    def change_view(
        self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied  # ModelAdmin would look for the connector first
        connector = self.get_object(request, object_id)
        name = connector.name if connector is not None else "Connector"
        context = {
            "title": visible_name(name),
            "object_label": name,
            "subtitle": None,
            "show_save_and_continue": False,
            "show_save_and_add_another": False,
        }
        if connector is not None:
            sees_keys = request.user.has_perm("connector_state.view_keys")
            context |= facts_of(connector, sees_keys=sees_keys)
        return super().change_view(request, object_id, extra_context=context)

    def save_model(
        self, request: HttpRequest, obj: Connector, form: ModelForm, change: bool
    ) -> None:
        # Only what the operator changed: heartbeats and other operators write to the row as well.
        obj.save(update_fields=form.changed_data)

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> list[dict[str, dict[str, list[str]]]]:
        changes = describe_changes(form)
        return [{"changed": {"fields": changes}}] if changes else []

    def response_change(self, request: HttpRequest, obj: Connector) -> HttpResponseRedirect:
        messages.success(request, "Saved. The policy is effective within 2 s on every worker.")
        return redirect("admin:connector_state_connector_change", obj.pk)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        raise PermissionDenied  # whether there is such a connector or not

    def history_view(
        self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        # The history names keys.
        may_view = self.has_view_or_change_permission(request)
        if not may_view or not request.user.has_perm("connector_state.view_keys"):
            raise PermissionDenied
        connector = self.get_object(request, object_id)
        name = connector.name if connector is not None else ""
        return super().history_view(request, object_id, {"title": "History", "object_label": name})
