"""The chat page: its shell, and the session of whoever has logged in there."""
