"""Django's SQLite backend with a queue of writers in front of it: `ENGINE = "common.sqlite"`."""
