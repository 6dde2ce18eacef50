"""Admin pages: connectors with their credentials and policy, and the keys that they have stored.

`pages` is what the pages have in common; each other module has the pages of one thing, and names
their paths in its `urls()`.
"""

from django.contrib import admin

from connector_state.admin.connectors.pages import ConnectorAdmin
from connector_state.models import Connector

admin.site.register(Connector, ConnectorAdmin)
