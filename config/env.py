"""Every environment variable that Statekeep reads: its type, its unit and its default.

The environment wins. With the embedded stores (neither REDIS_URL nor DATABASE_URL is set), the
secrets that `make run` generated in DATA_DIR/settings.env fill in what it leaves out.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from config.local import generated, valkey
from config.local.generated import BASE_DIR
from config.variables import (
    CommaSeparated,
    DatabaseUrl,
    Endpoint,
    EnrollmentTokens,
    FernetKeys,
    HeaderSecret,
    Origins,
    RedisUrl,
    Sentinels,
    SigningKey,
    Url,
)


class Environment(BaseSettings):
    """The typed environment. Field names in upper case are the variables' names."""

    model_config = SettingsConfigDict(
        frozen=True, env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    # Where things are
    data_dir: Path = Path("var")
    stores: Literal["embedded", "external"] = "external"
    redis_url: RedisUrl = Field(default="", repr=False)
    redis_sentinels: Sentinels = ()
    database_url: DatabaseUrl = Field(default="", repr=False)

    # Secrets
    secret_key: SecretStr = Field(min_length=32)
    connector_secret_keys: FernetKeys = Field(min_length=1, repr=False)
    enrollment_tokens: EnrollmentTokens = Field(default=(), repr=False)

    # Web
    allowed_hosts: CommaSeparated = ("localhost", "127.0.0.1", "[::1]")
    csrf_trusted_origins: CommaSeparated = ()
    https_only: bool | None = None
    trusted_proxy_count: int = Field(default=0, ge=0, le=10)
    server_threads: int = Field(default=16, ge=1, le=1_000)
    max_requests_per_address: int = Field(default=500, ge=0)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    # Redis
    redis_connect_timeout_seconds: float = Field(default=1.0, gt=0, le=10)
    redis_timeout_seconds: float = Field(default=2.0, gt=0, le=10)
    redis_retry_seconds: float = Field(default=2.0, ge=0, le=8)
    redis_max_calls_per_process: int = Field(default=4_096, ge=16)

    # Database (PostgreSQL; libpq takes no shorter time to connect than 2 s)
    database_connect_timeout_seconds: int = Field(default=3, ge=2, le=30)
    database_statement_timeout_seconds: int = Field(default=15, ge=0, le=86_400)

    # Connector state
    hmac_skew_seconds: int = Field(default=60, ge=1, le=3600)
    credential_outage_seconds: int = Field(default=300, ge=0, le=3600)
    state_max_value_bytes: int = Field(default=65_536, ge=1, le=16_777_216)
    state_max_batch_bytes: int = Field(default=4_194_304, ge=1, le=67_108_864)
    state_max_import_bytes: int = Field(default=67_108_864, ge=1_048_576)
    state_max_keys: int = Field(default=250_000, ge=0)
    state_max_bytes: int = Field(default=1_073_741_824, ge=0)
    state_max_requests_per_second: int = Field(default=500, ge=0)
    audit_max_entries: int = Field(default=10_000, ge=100)
    audit_max_age_seconds: int = Field(default=2_592_000, ge=60)
    enrollment_max_connectors: int = Field(default=1_000, ge=1)
    enrollment_new_per_minute: int = Field(default=60, ge=1)

    # Chat: the conversation store
    dapr_http_port: int = Field(default=3500, ge=1, le=65_535)
    dapr_http_endpoint: Endpoint = ""
    dapr_runtime_host: str = "127.0.0.1"
    dapr_api_token: HeaderSecret = SecretStr("")
    dapr_state_store_name: str = "statestore"
    chat_state_store: Literal["dapr", "redis"] = "dapr"
    chat_message_window: int = Field(default=50, ge=1)
    chat_max_messages: int = Field(default=200, ge=2)
    chat_state_ttl: int = Field(default=2_592_000, ge=1, le=315_360_000)  # seconds
    # A sidecar takes requests up to 4 MiB; what surrounds the document needs a little of it.
    chat_max_state_bytes: int = Field(default=3_000_000, ge=262_144, le=4_100_000)
    chat_store_connect_timeout_seconds: float = Field(default=0.5, gt=0, le=10)
    chat_store_timeout_seconds: float = Field(default=2.5, gt=0, le=30)
    chat_store_pause_seconds: float = Field(default=2.0, ge=0, le=60)

    # Chat: tokens, the assistant, limits
    jwt_signing_key: SigningKey = SecretStr("")
    jwt_jwks_url: Url = ""
    jwt_issuer: str = ""
    jwt_audience: str = ""
    jwt_access_seconds: int = Field(default=900, ge=60, le=86_400)
    jwt_refresh_seconds: int = Field(default=1_209_600, ge=300, le=31_536_000)
    openai_api_key: HeaderSecret = SecretStr("")
    openai_base_url: Url = ""
    chat_model: str = "gpt-4o-mini"
    chat_turn_seconds: float = Field(default=30.0, ge=1, le=300)
    chat_rate_per_minute: int = Field(default=20, ge=0)
    chat_max_turns_per_user: int = Field(default=16, ge=1)
    chat_max_turns_per_process: int = Field(default=11, ge=1)
    chat_max_reads_per_process: int = Field(default=3, ge=1)
    chat_keep_turns_seconds: int = Field(default=86_400, ge=60)
    cors_allowed_origins: Origins = ()

    @field_validator("data_dir")
    @classmethod
    def anchor_data_dir(cls, value: Path) -> Path:
        """A relative DATA_DIR stands beside manage.py, whatever the working directory."""
        return (BASE_DIR / value.expanduser()).resolve()

    @model_validator(mode="after")
    def check_sentinel_url(self) -> Self:
        """Sentinel needs a REDIS_URL that names the service."""
        if self.redis_sentinels and not self.redis_url:
            raise ValueError("REDIS_SENTINELS needs REDIS_URL=redis://SERVICE_NAME/DB")
        return self

    @model_validator(mode="after")
    def check_jwt(self) -> Self:
        """One way to verify tokens: a signing key, or a JWKS with issuer and audience."""
        if self.jwt_jwks_url:
            if self.jwt_signing_key.get_secret_value() and self.stores == "external":
                raise ValueError("JWT_SIGNING_KEY and JWT_JWKS_URL exclude each other: set one")
            if not (self.jwt_issuer and self.jwt_audience):
                raise ValueError("JWT_JWKS_URL needs JWT_ISSUER and JWT_AUDIENCE")
        elif not self.jwt_signing_key.get_secret_value():
            raise ValueError(
                "JWT_SIGNING_KEY is not set (32 bytes at least), nor is JWT_JWKS_URL; "
                "with the embedded stores `make run` generates it"
            )
        return self

    @model_validator(mode="after")
    def check_message_window(self) -> Self:
        """A conversation must keep what the model is to see."""
        if self.chat_message_window > self.chat_max_messages:
            raise ValueError(
                f"CHAT_MESSAGE_WINDOW ({self.chat_message_window}) must not be above "
                f"CHAT_MAX_MESSAGES ({self.chat_max_messages})"
            )
        return self

    @property
    def dapr_endpoint(self) -> str:
        """The sidecar's URL: DAPR_HTTP_ENDPOINT, else DAPR_RUNTIME_HOST and DAPR_HTTP_PORT."""
        host = self.dapr_runtime_host
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        return self.dapr_http_endpoint or f"http://{host}:{self.dapr_http_port}"

    @property
    def embedded_redis(self) -> bool:
        """Whether Redis is the Valkey that `make run` starts."""
        return not self.redis_url

    @property
    def effective_redis_url(self) -> str:
        """REDIS_URL, or the socket of the embedded Valkey."""
        return self.redis_url or f"unix://{valkey.socket_path(self.data_dir)}"

    @property
    def effective_database_url(self) -> str:
        """DATABASE_URL, or the SQLite file in DATA_DIR."""
        return self.database_url or f"sqlite:///{self.data_dir / 'db.sqlite3'}"

    @property
    def https(self) -> bool:
        """Whether admin is served over TLS alone: HTTPS_ONLY, else true with external stores."""
        return self.stores == "external" if self.https_only is None else self.https_only


def load(recorded: Mapping[str, str] | None = None) -> Environment:
    """Read the environment once.

    Args:
        recorded: the settings of `make run`, if not those of its file.

    Raises:
        SystemExit: with one line that names the variable and says what is wrong with it.
    """
    file = generated.path()
    if recorded is None:
        recorded = generated.read(file)
    external = generated.uses_external_stores()
    if not external and recorded.get("STORES") == "external":
        raise SystemExit(
            f"statekeep: the last `make run` in {file.parent} used REDIS_URL or DATABASE_URL; "
            "set the same variables (and secrets) here, or run `make run` without them"
        )
    try:
        environment = (
            Environment(stores="external", **_recorded_choice(recorded))
            if external
            else Environment(**_fill_in(recorded))
        )
    except ValidationError as error:
        raise SystemExit(f"statekeep: {_explain(error, external, file)}") from None
    return environment


def _recorded_choice(recorded: Mapping[str, str]) -> dict[str, Any]:
    """The conversation store of the last `make run`, if that used stores of the environment too.

    Nothing else of the file counts beside REDIS_URL or DATABASE_URL; but a command that looked for
    conversations elsewhere than the server would take them all for gone.
    """
    if generated.announces_chat_store() or recorded.get("STORES") != "external":
        return {}
    return {
        name.lower(): recorded[name]
        for name in generated.CONVERSATION_STORE
        if recorded.get(name) and not os.environ.get(name)
    }


def _fill_in(recorded: Mapping[str, str]) -> dict[str, Any]:
    """What was recorded of the variables that the environment leaves out.

    pydantic-settings would read the file by itself, but put variables in the place of `${X}`.
    """
    given = {name.lower() for name, value in os.environ.items() if value}
    if generated.announces_chat_store():
        given |= {name.lower() for name in generated.CONVERSATION_STORE}
    missing = set(Environment.model_fields) - given
    return {
        name.lower(): value for name, value in recorded.items() if value and name.lower() in missing
    }


def _explain(error: ValidationError, external: bool, file: Path) -> str:
    """Put a validation error into one line, without the value (it may be a secret)."""
    first = error.errors(include_input=False, include_url=False)[0]
    name = str(first["loc"][0]).upper() if first["loc"] else ""
    if first["type"] != "missing":
        return f"{name}: {first['msg'].removeprefix('Value error, ')}".removeprefix(": ")
    if external:
        return f"{name} is not set; beside REDIS_URL or DATABASE_URL the environment has to set it"
    return f"{name} is not set, nor generated in {file}: `make run` generates it"
