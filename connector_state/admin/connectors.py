"""The list of connectors, and the page of one."""

from django.contrib import admin
from django.urls import URLPattern

from connector_state.admin import deletion, edit, keys, transfer, unindexed, value


class ConnectorAdmin(admin.ModelAdmin):
    """Connectors."""

    def get_urls(self) -> list[URLPattern]:
        """The pages beneath a connector's, and ModelAdmin's own."""
        return [
            *(url for m in (keys, value, edit, deletion, unindexed, transfer) for url in m.urls()),
            *super().get_urls(),
        ]
