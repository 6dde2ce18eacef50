"""Admin pages: connectors with their credentials and policy, and the keys that they have stored.

`pages` is what the pages have in common, `urls` where each is; each other module has the pages of
one thing.
"""

from django.contrib import admin

from connector_state.admin.connectors.pages import ConnectorAdmin
from connector_state.models import Connector

admin.site.register(Connector, ConnectorAdmin)
