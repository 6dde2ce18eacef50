"""Credentials of connectors: signatures, secrets, their life, and enrolment."""
