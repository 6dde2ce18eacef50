"""Metrics of all workers of a server, and `/metrics`, which answers with them."""
