"""The project: environment, settings, routes, the error table, health, and `make run`."""
