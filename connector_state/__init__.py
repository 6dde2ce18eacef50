"""Connector state: an HMAC-protected key/value store for stateless connectors."""
