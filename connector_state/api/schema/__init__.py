"""The OpenAPI description of the calls of connector state and of enrolment."""
