"""The OpenAPI description of the calls of the chat."""
