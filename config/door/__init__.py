"""How requests come in under an ASGI server: bodies first; Django on the loop; Django in threads."""
