"""What the lists of conversations, quarantined states and dead letters have in common."""

from datetime import datetime
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from chat.models import Conversation
from common.visible import visible

VIEW = "chat.view_conversation"
CHANGE = "chat.change_conversation"
DELETE = "chat.delete_conversation"

LISTED_CHARACTERS = 80


class ChatRows(ChangeList):
    """A page of a list. How many match is said beside the search when something was searched."""

    def get_results(self, request: HttpRequest) -> None:
        """Read the page."""
        super().get_results(request)
        if not self.query:
            self.full_result_count = self.result_count


class ChatList(admin.ModelAdmin):
    """A list with pages of our own behind its rows.

    Nothing of Django's own adds, changes or deletes a row here: the store would know nothing of it.
    The permissions on conversations hold for all that is in them.
    """

    pages: ClassVar[list[URLPattern]] = []
    list_per_page = 50
    list_max_show_all = 200
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def get_urls(self) -> list[URLPattern]:
        """The list, and our own pages."""
        name = self.opts.model_name
        view = self.admin_site.admin_view(self.changelist_view)
        return [path("", view, name=f"chat_{name}_changelist"), *self.pages]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list, under the name of what it lists."""
        title = str(self.opts.verbose_name_plural).capitalize()
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Rows of ours."""
        return ChatRows

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Our own filters alone: `title__regex` could be made to compute for ever."""
        filters: Any = self.list_filter
        return any(lookup in _parameters(each) for each in filters)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Without Django's own, which would delete rows."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds one."""
        return False

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """That of conversations."""
        return request.user.has_perm(VIEW)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """That of conversations; it does not open what may not be viewed."""
        return request.user.has_perm(VIEW) and request.user.has_perm(CHANGE)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """That of conversations."""
        return request.user.has_perm(VIEW) and request.user.has_perm(DELETE)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Whether there is anything to see."""
        return request.user.has_perm(VIEW)


def _parameters(list_filter: Any) -> tuple[str, ...]:
    """Return the names that a filter takes in the query."""
    return getattr(list_filter, "parameter_names", None) or (list_filter.parameter_name,)


def when(moment: datetime | None) -> SafeString | None:
    """Return a time as lists show it."""
    if moment is None:
        return None
    day, hour = f"{moment:%Y-%m-%d %H:%M}".split()
    return format_html('<span class="when">{}</span> {}', day, hour)


def isolated(text: str) -> SafeString:
    """Return text of a user, so that it neither breaks a row nor turns the words around it."""
    listed = Truncator(visible(text)).chars(LISTED_CHARACTERS)
    return format_html('<bdi class="foreign">{}</bdi>', listed)


def state_in_words(row: Conversation) -> str:
    """Return where a conversation stands."""
    if row.deletion_pending:
        return "Deleted; waits for the store"
    if not row.active:
        return "Deleted"
    if row.corrupt:
        return "Corrupt"
    if row.expires_at is not None and row.expires_at <= timezone.now():
        return "Expired"
    return "Active"
