"""Routes under /chat/."""

from django.urls import path

from chat.page.views import ChatPageView, SessionView

urlpatterns = [
    path("", ChatPageView.as_view(), name="chat_page"),
    path("session", SessionView.as_view(), name="chat_session"),
]
