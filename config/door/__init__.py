"""How requests come in under an ASGI server: bodies first, then Django on a loop or in threads."""
