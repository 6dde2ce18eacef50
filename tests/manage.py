"""manage.py with the settings of the tests: `python -m tests.manage COMMAND`."""

import os
import sys

from django.core.management import execute_from_command_line

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
execute_from_command_line(sys.argv)
