"""The project: environment, settings, routes, the table of errors, health, and `make run`."""
