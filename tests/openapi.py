"""Write docs/openapi.yaml: `make openapi`."""

import os

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

import django

from tests.servers import ROOT

DOCUMENT = ROOT / "docs/openapi.yaml"


def main() -> None:
    """Describe the API as it is now."""
    django.setup()
    from config.openapi.document import document

    DOCUMENT.write_bytes(document())


if __name__ == "__main__":
    main()
