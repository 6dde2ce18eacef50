"""The base of both apps' pages and lists in admin."""
