"""How errors are answered over HTTP, and counted."""
