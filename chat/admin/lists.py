"""What the lists of conversations, quarantined states and dead letters have in common."""

from typing import Any, ClassVar, cast

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet, Value
from django.db.models.functions import Concat
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from common.admin.lists import column, is_own_lookup
from common.events.models import Event, record
from common.visible import visible

VIEW = "chat.view_conversation"  # names and states
READ = "chat.read_conversation"  # what was said; titles begin with it
CHANGE = "chat.change_conversation"
DELETE = "chat.delete_conversation"

LISTED_CHARACTERS = 80
LISTED_MAX = 10_000


def isolated(text: str) -> SafeString | None:
    """Return a user's text for a cell of a list, or None for an empty one.

    It neither breaks the row by its length nor changes the direction of the text around it.
    """
    if not text:
        return None
    listed = Truncator(visible(text)).chars(LISTED_CHARACTERS)
    return format_html('<bdi class="foreign">{}</bdi>', listed)


class FirstRows(Paginator):
    """Pages of the first LISTED_MAX rows: to count or to skip a million takes seconds."""

    @cached_property
    def count(self) -> int:
        rows = cast("QuerySet[Any]", self.object_list)
        return rows.order_by()[:LISTED_MAX].count()


class ChatRows(ChangeList):
    """A page of a list. It counts the matches only when something was searched for."""

    @property
    def goes_on(self) -> bool:
        """Whether there may be more rows than are listed."""
        return self.result_count >= LISTED_MAX

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.query:
            self.full_result_count = self.result_count
        if not request.user.has_perm(READ):
            self.search_help_text = "By user or conversation id."


class ChatList(admin.ModelAdmin):
    """A list whose rows lead to pages of our own.

    Django's own forms and actions are switched off: they would change rows and leave the store as
    it is. The permissions on conversations hold for all three lists. The columns of `said_columns`,
    and the search in `said_fields`, are for those who may read what was said.
    """

    pages: ClassVar[list[URLPattern]] = []
    said_columns: ClassVar[frozenset[str]] = frozenset()
    said_fields: ClassVar[frozenset[str]] = frozenset()
    empty_text: ClassVar[str]
    list_per_page = 50
    list_max_show_all = 200
    paginator = FirstRows
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    conversation = column(isolated, "conversation_id", "conversation")
    user = column(isolated, "user_id", "user")

    def get_urls(self) -> list[URLPattern]:
        name = f"chat_{self.opts.model_name}_changelist"
        view = self.admin_site.admin_view(self.changelist_view)
        return [path("", view, name=name), *self.pages]

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        title = str(self.opts.verbose_name_plural).capitalize()
        if self.said_columns and request.user.has_perms([VIEW, READ]):
            name = request.user.get_username()
            record(Event.Kind.READ, Event.Area.CHAT, f"Looked at a list: {title}.", name)
        return super().changelist_view(request, {"title": title})

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ChatRows

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return is_own_lookup(self.list_filter, lookup)

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        columns = super().get_list_display(request)
        may_read = request.user.has_perm(READ)
        return [name for name in columns if may_read or name not in self.said_columns]

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        fields = [*super().get_search_fields(request), "named"]
        may_read = request.user.has_perm(READ)
        return [name for name in fields if may_read or name not in self.said_fields]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if search_term:  # logs and pages name a conversation user:conversation
            queryset = queryset.annotate(named=Concat("user_id", Value(":"), "conversation_id"))
        return super().get_search_results(request, queryset, search_term)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.has_perm(VIEW)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.has_perms([VIEW, CHANGE])

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.has_perms([VIEW, DELETE])
