"""Write docs/openapi.yaml: `make openapi`."""

import os

import django

from tests.servers import ROOT

DOCUMENT = ROOT / "docs/openapi.yaml"


def main() -> None:
    """Describe the API as it is now."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    from config.openapi.document import document

    DOCUMENT.write_bytes(document())


if __name__ == "__main__":
    main()
