"""Every environment variable that Statekeep reads: its type, its unit and its default."""

from pathlib import Path
from typing import Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from config.env import store_urls, variables
from config.local import valkey
from config.local.generated import BASE_DIR, DATABASE_FILE

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


class Environment(BaseSettings):
    """The typed environment. A field's name in upper case is the variable's name."""

    model_config = SettingsConfigDict(
        frozen=True, env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    # Where things are
    data_dir: Path = Path("var")
    stores: Literal["embedded", "external"] = "external"
    redis_url: store_urls.RedisUrl = Field(default="", repr=False)
    redis_sentinels: variables.Sentinels = ()
    redis_sentinel_username: str = ""
    redis_sentinel_password: SecretStr = SecretStr("")
    redis_sentinel_tls: bool = False
    redis_cluster: variables.Sentinels = ()
    redis_cluster_username: str = ""
    redis_cluster_password: SecretStr = SecretStr("")
    redis_cluster_tls: bool = False
    redis_cluster_parameters: store_urls.ClusterParameters = ""
    database_url: store_urls.DatabaseUrl = Field(default="", repr=False)

    # Secrets
    secret_key: variables.SecretKey
    connector_secret_keys: variables.FernetKeys = Field(min_length=1, repr=False)
    enrollment_tokens: variables.EnrollmentTokens = Field(default=(), repr=False)

    # Web
    allowed_hosts: variables.Hosts = LOOPBACK
    csrf_trusted_origins: variables.TrustedOrigins = ()
    https_only: bool | None = None
    trusted_proxy_count: int = Field(default=0, ge=0, le=10)
    server_threads: int = Field(default=16, ge=1, le=1_000)
    max_requests_per_address: int = Field(default=500, ge=0)

    # Logs and metrics
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["line", "json"] = "line"
    access_log: bool = False
    metrics_token: variables.HeaderSecret = SecretStr("")
    metrics_dir: Path | None = None

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
    state_keep_versions: int = Field(default=3, ge=0, le=50)
    state_keep_days: int = Field(default=7, ge=0, le=50)
    state_history_max_bytes: int = Field(default=268_435_456, ge=1)
    audit_max_entries: int = Field(default=10_000, ge=100)
    audit_max_age_seconds: int = Field(default=2_592_000, ge=60)
    enrollment_max_connectors: int = Field(default=1_000, ge=1)
    enrollment_new_per_minute: int = Field(default=60, ge=1)

    # Connector state: the credentials of a dsx-connect
    dsx_connect_redis_url: store_urls.RedisUrl = Field(default="", repr=False)
    dsx_connect_env: str = Field(default="", pattern=r"^[A-Za-z0-9_.-]{0,64}$")
    dsx_connect_max_connectors: int = Field(default=1_000, ge=1)
    dsx_connect_lookups_per_second: int = Field(default=50, ge=1)

    # Chat: the conversation store
    dapr_http_port: int = Field(default=3500, ge=1, le=65_535)
    dapr_http_endpoint: variables.Endpoint = ""
    dapr_runtime_host: str = "127.0.0.1"
    dapr_api_token: variables.HeaderSecret = SecretStr("")
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
    jwt_signing_key: variables.SigningKey = SecretStr("")
    jwt_jwks_url: variables.Url = ""
    jwt_algorithms: variables.Algorithms = Field(default=variables.ALGORITHMS, min_length=1)
    jwt_issuer: variables.CommaSeparated = ()
    jwt_audience: variables.CommaSeparated = ()
    jwt_audience_claim: Literal["aud", "client_id", "azp", "appid", "cid"] = "aud"
    jwt_leeway_seconds: int = Field(default=60, ge=0, le=300)
    jwt_access_seconds: int = Field(default=900, ge=60, le=86_400)
    jwt_refresh_seconds: int = Field(default=1_209_600, ge=300, le=31_536_000)
    openai_api_key: variables.HeaderSecret = SecretStr("")
    openai_base_url: variables.Url = ""
    chat_model: str = "gpt-4o-mini"
    model_trace_headers: bool = False
    chat_context_bytes: int = Field(default=262_144, ge=16_384)
    chat_turn_seconds: float = Field(default=30.0, ge=1, le=300)
    chat_rate_per_minute: int = Field(default=20, ge=0)
    chat_max_turns_per_user: int = Field(default=16, ge=1)
    chat_max_turns_per_process: int = Field(default=11, ge=1)
    chat_queue_seconds: float = Field(default=5.0, ge=0, le=60)
    chat_max_reads_per_process: int = Field(default=3, ge=1)
    chat_keep_turns_seconds: int = Field(default=86_400, ge=60)
    cors_allowed_origins: variables.Origins = ()
    cors_allowed_headers: variables.HeaderNames = ()

    # Calls to others: the identity provider, an https sidecar, the model's server
    requests_ca_bundle: variables.Certificates = ""
    ssl_cert_file: variables.Certificates = ""
    https_proxy: variables.Proxy = Field(default="", repr=False)
    http_proxy: variables.Proxy = Field(default="", repr=False)
    all_proxy: variables.Proxy = Field(default="", repr=False)

    # Events and alerts
    alert_webhook_url: variables.Url = Field(default="", repr=False)
    events_keep_days: int = Field(default=90, ge=1, le=36_500)

    @field_validator("data_dir", "metrics_dir")
    @classmethod
    def anchor_folder(cls, value: Path | None) -> Path | None:
        """Read a relative path from the folder of manage.py, whatever the working directory."""
        return value and (BASE_DIR / value.expanduser()).resolve()

    @model_validator(mode="after")
    def check_sentinel_url(self) -> Self:
        """Refuse sentinels without a REDIS_URL, which names the service."""
        scheme = urlsplit(self.redis_url).scheme
        if self.redis_sentinels and scheme not in {"redis", "rediss"}:
            raise ValueError("REDIS_SENTINELS needs REDIS_URL=redis://SERVICE_NAME/DB, or rediss")
        if self.redis_sentinel_tls and not (self.redis_sentinels and scheme == "rediss"):
            raise ValueError(
                "REDIS_SENTINEL_TLS needs REDIS_SENTINELS and REDIS_URL=rediss://SERVICE_NAME/DB, "
                "whose parameters (such as ssl_ca_certs) hold for the sentinels too"
            )
        return self

    @model_validator(mode="after")
    def check_cluster(self) -> Self:
        """Refuse a cluster beside another Redis, and its options without one."""
        if self.redis_cluster and (self.redis_url or self.redis_sentinels):
            raise ValueError(
                "REDIS_CLUSTER excludes REDIS_URL and REDIS_SENTINELS: set the one that you use"
            )
        for name in ("username", "password", "tls", "parameters"):
            if not self.redis_cluster and f"redis_cluster_{name}" in self.model_fields_set:
                raise ValueError(f"REDIS_CLUSTER_{name.upper()} needs REDIS_CLUSTER")
        if "ssl_" in self.redis_cluster_parameters and not self.redis_cluster_tls:
            raise ValueError("the ssl_ parameters need REDIS_CLUSTER_TLS=true")
        return self

    @model_validator(mode="after")
    def check_dsx_connect(self) -> Self:
        """Refuse the Redis of a dsx-connect without its environment, which its keys begin with."""
        if self.dsx_connect_redis_url and not self.dsx_connect_env:
            raise ValueError(
                "DSX_CONNECT_REDIS_URL needs DSX_CONNECT_ENV, the dsx-connect's DSXCONNECT_APP_ENV"
            )
        return self

    @model_validator(mode="after")
    def check_jwt(self) -> Self:
        """Require one way to verify tokens: a key, or a JWKS with an issuer and an audience."""
        if self.jwt_jwks_url:
            if self.jwt_signing_key.get_secret_value() and self.stores == "external":
                raise ValueError("JWT_SIGNING_KEY and JWT_JWKS_URL exclude each other: set one")
            if not (self.jwt_issuer and self.jwt_audience):
                raise ValueError("JWT_JWKS_URL needs JWT_ISSUER and JWT_AUDIENCE")
        elif self.jwt_audience_claim != "aud":
            raise ValueError("JWT_AUDIENCE_CLAIM needs JWT_JWKS_URL")
        elif not self.jwt_signing_key.get_secret_value():
            raise ValueError(
                "JWT_SIGNING_KEY is not set (32 bytes at least), nor is JWT_JWKS_URL; "
                "`make run` generates it for the embedded stores, "
                "deploy/compose/new_secrets.py prints one"
            )
        return self

    @model_validator(mode="after")
    def check_message_window(self) -> Self:
        """Refuse a window of messages for the model that is more than a conversation keeps."""
        if self.chat_message_window > self.chat_max_messages:
            raise ValueError(
                f"CHAT_MESSAGE_WINDOW ({self.chat_message_window}) must not be above "
                f"CHAT_MAX_MESSAGES ({self.chat_max_messages})"
            )
        return self

    @property
    def dapr_endpoint(self) -> str:
        """The URL of the Dapr sidecar."""
        host = self.dapr_runtime_host
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        return self.dapr_http_endpoint or f"http://{host}:{self.dapr_http_port}"

    @property
    def embedded_redis(self) -> bool:
        """Whether `make run` starts Redis, as an embedded Valkey."""
        return not (self.redis_url or self.redis_cluster)

    @property
    def effective_redis_url(self) -> str:
        return self.redis_url or f"unix://{quote(str(valkey.socket_path(self.data_dir)))}"

    @property
    def effective_database_url(self) -> str:
        return self.database_url or f"sqlite:///{quote(str(self.data_dir / DATABASE_FILE))}"

    @property
    def https(self) -> bool:
        """Whether admin is served over TLS only: by default, with external stores."""
        return self.stores == "external" if self.https_only is None else self.https_only
