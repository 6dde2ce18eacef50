"""Routes under /dsx-connect/api/v1/connectors/."""

from django.urls import path, register_converter

from connector_state.api.converters import ConnectorUUIDConverter, RestConverter, SegmentConverter
from connector_state.api.enrolment_views import RegisterView, UnregisterView
from connector_state.api.listing_views import NamespacesView, NamespaceView
from connector_state.api.views import StateView

register_converter(ConnectorUUIDConverter, "connector")
register_converter(SegmentConverter, "segment")
register_converter(RestConverter, "rest")

value = path("state/<connector:connector_uuid>/<segment:ns>/<rest:key>", StateView.as_view())

urlpatterns = [
    value,
    path("state/<connector:connector_uuid>/<segment:ns>", NamespaceView.as_view()),
    path("state/<connector:connector_uuid>", NamespacesView.as_view()),
    path("register", RegisterView.as_view()),
    path("unregister/<connector:connector_uuid>", UnregisterView.as_view()),
]
