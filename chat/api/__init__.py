"""The chat's API: URLs, views, authentication, limits, and how bodies are read and answered."""
