"""Tests of chat.page, but for what needs a browser."""
