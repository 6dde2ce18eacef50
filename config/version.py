"""Which version of Statekeep this is. pyproject.toml alone has its number."""

import tomllib

from config.local.generated import BASE_DIR

NAME = "Statekeep"
VERSION: str = tomllib.loads((BASE_DIR / "pyproject.toml").read_text())["project"]["version"]

_revision = BASE_DIR / "revision"  # Containerfile writes it; elsewhere there is none
REVISION = _revision.read_text().strip() if _revision.exists() else ""
