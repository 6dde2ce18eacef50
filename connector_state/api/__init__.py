"""The REST API of connector state: URLs, views, authentication."""
