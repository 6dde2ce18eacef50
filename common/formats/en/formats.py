"""The one form of days and times on all pages, instead of Django's for English."""

DATE_FORMAT = "Y-m-d"
DATETIME_FORMAT = "Y-m-d H:i:s T"
