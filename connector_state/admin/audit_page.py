"""The page of a connector's audit: who wrote, deleted or looked at what."""

import re

from django.http import HttpRequest, HttpResponse
from django.utils.http import urlencode

from connector_state.admin.pages import ConnectorPage
from connector_state.store import audit

_ENTRY_ID = re.compile(r"[1-9][0-9]{0,14}-[0-9]{1,15}")


class AuditPage(ConnectorPage):
    """Entries that match the filters, newest first, in pages."""

    permissions = ("connector_state.view_keys",)
    asks_redis = True
    title = "Audit"
    template = "admin/connector_state/audit.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        wanted = {name: value for name in audit.FILTERS if (value := request.GET.get(name))}
        before_id = request.GET.get("before", "")
        is_first = not _ENTRY_ID.fullmatch(before_id)
        page = audit.page(self.uuid, wanted, "+" if is_first else before_id)
        context = {
            "page": page,
            "is_first": is_first,
            "older": urlencode({**wanted, "before": page.last.id}) if page.last else "",
            "operations": audit.OPERATIONS,
            "wanted": wanted,
            "newest": urlencode(wanted),
            "shows_etags": request.user.has_perm("connector_state.view_values"),
        }
        return self.render(context)
