"""The list of connectors, and the page of one."""

from django.contrib import admin


class ConnectorAdmin(admin.ModelAdmin):
    """Connectors."""
