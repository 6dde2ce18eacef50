"""Django's settings, all made from config.env."""

from datetime import timedelta

from config import env, logs
from config.env import cache, database
from config.local import generated
from config.paths import CHAT_PATHS_REGEX, HTTPS_REDIRECT_EXEMPT

ENV = env.load()
BASE_DIR = generated.BASE_DIR
DATA_DIR = ENV.data_dir

DEBUG = False
SECRET_KEY = ENV.secret_key.get_secret_value()
ALLOWED_HOSTS = list(ENV.allowed_hosts)
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEST_RUNNER = "config.local.pytest_runner.PytestRunner"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "overview.apps.OverviewAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular_sidecar",
    "axes",
    "corsheaders",
    "config.apps.StatekeepConfig",
    "common.events.apps.EventsConfig",
    "connector_state",
    "chat",
    "overview.apps.OverviewConfig",
]

# API paths go through the first two, and skip the others that config.middleware has.
MIDDLEWARE = [
    "config.middleware.ChatCorsMiddleware",
    "config.middleware.SecurityMiddleware",
    "config.middleware.WhiteNoiseMiddleware",
    "config.middleware.SessionMiddleware",
    "config.middleware.CommonMiddleware",
    "config.middleware.CsrfViewMiddleware",
    "config.middleware.AuthenticationMiddleware",
    "config.middleware.MessageMiddleware",
    "config.middleware.XFrameOptionsMiddleware",
    "config.middleware.ContentSecurityPolicyMiddleware",
    "config.middleware.AxesMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- Stores -----------------------------------------------------------------------------------

DATABASES = {
    "default": database.configuration(
        ENV.effective_database_url,
        connect_timeout_seconds=ENV.database_connect_timeout_seconds,
        statement_timeout_seconds=ENV.database_statement_timeout_seconds,
    )
}
DATABASE_STATEMENT_TIMEOUT_SECONDS = ENV.database_statement_timeout_seconds

# The contract fixes the keys in Redis, so they are used through get_redis_connection():
# django.core.cache would prefix the keys and serialise the values.
CACHES = {"default": cache.configuration(ENV)}
if ENV.redis_sentinels:
    DJANGO_REDIS_CONNECTION_FACTORY = "django_redis.pool.SentinelConnectionFactory"
REDIS_CLUSTER = cache.cluster_options(ENV)

REDIS_ATTEMPT_SECONDS = ENV.redis_connect_timeout_seconds + ENV.redis_timeout_seconds
REDIS_RETRY_SECONDS = ENV.redis_retry_seconds
REDIS_MAX_CALLS_PER_PROCESS = ENV.redis_max_calls_per_process

# --- Connector state --------------------------------------------------------------------------

CONNECTOR_SECRET_KEYS = list(ENV.connector_secret_keys)
HMAC_SKEW_SECONDS = ENV.hmac_skew_seconds
CREDENTIAL_OUTAGE_SECONDS = ENV.credential_outage_seconds
STATE_MAX_VALUE_BYTES = ENV.state_max_value_bytes
STATE_MAX_BATCH_BYTES = ENV.state_max_batch_bytes
STATE_MAX_IMPORT_BYTES = ENV.state_max_import_bytes
STATE_MAX_KEYS = ENV.state_max_keys
STATE_MAX_BYTES = ENV.state_max_bytes
STATE_MAX_REQUESTS_PER_SECOND = ENV.state_max_requests_per_second
STATE_KEEP_VERSIONS = ENV.state_keep_versions
STATE_KEEP_DAYS = ENV.state_keep_days
STATE_HISTORY_MAX_BYTES = ENV.state_history_max_bytes
AUDIT_MAX_ENTRIES = ENV.audit_max_entries
AUDIT_MAX_AGE_SECONDS = ENV.audit_max_age_seconds
DATA_UPLOAD_MAX_MEMORY_SIZE = max(2_621_440, STATE_MAX_VALUE_BYTES, STATE_MAX_BATCH_BYTES)
FILE_UPLOAD_HANDLERS = [
    "connector_state.admin.keys.uploads.BoundedUploadHandler",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]
ENROLLMENT_TOKENS = list(ENV.enrollment_tokens)
ENROLLMENT_MAX_CONNECTORS = ENV.enrollment_max_connectors
ENROLLMENT_NEW_PER_MINUTE = ENV.enrollment_new_per_minute
DSX_CONNECT_REDIS_URL = ENV.dsx_connect_redis_url
DSX_CONNECT_ENV = ENV.dsx_connect_env
DSX_CONNECT_MAX_CONNECTORS = ENV.dsx_connect_max_connectors
DSX_CONNECT_LOOKUPS_PER_SECOND = ENV.dsx_connect_lookups_per_second

# --- Chat -------------------------------------------------------------------------------------

CHAT_STATE_STORE = ENV.chat_state_store
CHAT_MESSAGE_WINDOW = ENV.chat_message_window
CHAT_MAX_MESSAGES = ENV.chat_max_messages
CHAT_STATE_TTL = ENV.chat_state_ttl
CHAT_MAX_STATE_BYTES = ENV.chat_max_state_bytes
CHAT_STORE_CONNECT_TIMEOUT_SECONDS = ENV.chat_store_connect_timeout_seconds
CHAT_STORE_TIMEOUT_SECONDS = ENV.chat_store_timeout_seconds
CHAT_STORE_PAUSE_SECONDS = ENV.chat_store_pause_seconds
DAPR_ENDPOINT = ENV.dapr_endpoint
DAPR_API_TOKEN = ENV.dapr_api_token.get_secret_value()
DAPR_STATE_STORE_NAME = ENV.dapr_state_store_name

JWT_SIGNING_KEY = "" if ENV.jwt_jwks_url else ENV.jwt_signing_key.get_secret_value()
JWT_JWKS_URL = ENV.jwt_jwks_url
JWT_ALGORITHMS = list(ENV.jwt_algorithms)
JWT_ISSUER = list(ENV.jwt_issuer)
JWT_AUDIENCE = list(ENV.jwt_audience)
JWT_AUDIENCE_CLAIM = ENV.jwt_audience_claim
JWT_LEEWAY_SECONDS = ENV.jwt_leeway_seconds
CA_BUNDLE = ENV.requests_ca_bundle or ENV.ssl_cert_file
OPENAI_API_KEY = ENV.openai_api_key.get_secret_value()
OPENAI_BASE_URL = ENV.openai_base_url
CHAT_MODEL = ENV.chat_model
MODEL_TRACE_HEADERS = ENV.model_trace_headers
CHAT_CONTEXT_BYTES = ENV.chat_context_bytes
CHAT_TURN_SECONDS = ENV.chat_turn_seconds
CHAT_RATE_PER_MINUTE = ENV.chat_rate_per_minute
CHAT_MAX_TURNS_PER_USER = ENV.chat_max_turns_per_user
CHAT_MAX_TURNS_PER_PROCESS = ENV.chat_max_turns_per_process
CHAT_QUEUE_SECONDS = ENV.chat_queue_seconds
CHAT_MAX_READS_PER_PROCESS = ENV.chat_max_reads_per_process
CHAT_KEEP_TURNS_SECONDS = ENV.chat_keep_turns_seconds

# --- Events and alerts ------------------------------------------------------------------------

EVENTS_KEEP_DAYS = ENV.events_keep_days
ALERT_WEBHOOK_URL = ENV.alert_webhook_url

# Own tokens name the user by the user name: a foreign token's "1" must not be local user 1.
SIMPLE_JWT = {
    "ALGORITHM": "HS256",
    "SIGNING_KEY": JWT_SIGNING_KEY,
    "USER_ID_FIELD": "username",
    "USER_ID_CLAIM": "user_id",
    "ACCESS_TOKEN_LIFETIME": timedelta(seconds=ENV.jwt_access_seconds),
    "REFRESH_TOKEN_LIFETIME": timedelta(seconds=ENV.jwt_refresh_seconds),
    "ISSUER": next(iter(JWT_ISSUER), None),
    "AUDIENCE": next(iter(JWT_AUDIENCE), None),
    "LEEWAY": JWT_LEEWAY_SECONDS,
}

CORS_URLS_REGEX = CHAT_PATHS_REGEX
CORS_ALLOWED_ORIGINS = list(ENV.cors_allowed_origins)
CORS_ALLOW_CREDENTIALS = False
CORS_ALLOW_METHODS = ["GET", "POST", "PATCH", "DELETE", "OPTIONS"]
CORS_ALLOW_HEADERS = [
    *("accept", "authorization", "content-type", "idempotency-key"),
    *("traceparent", "tracestate", "x-request-id", "x-requested-with"),
    *(name.lower() for name in ENV.cors_allowed_headers),
]
CORS_EXPOSE_HEADERS = ["X-Chat-Degraded", "Retry-After", "X-Request-ID"]

# --- API --------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "common.json_answers.JSONNegotiation",
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "EXCEPTION_HANDLER": "config.errors.answers.api_exception_handler",
    "URL_FORMAT_OVERRIDE": None,
    "UNAUTHENTICATED_USER": None,
}

# --- Admin and its login ----------------------------------------------------------------------

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
CSRF_TRUSTED_ORIGINS = list(ENV.csrf_trusted_origins)
TRUSTED_PROXY_COUNT = ENV.trusted_proxy_count
SERVER_THREADS = ENV.server_threads
MAX_REQUESTS_PER_ADDRESS = ENV.max_requests_per_address
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_TEMPLATE = "locked_out.html"
AXES_CLIENT_IP_CALLABLE = "common.client_ip.address_for_axes"
AXES_VERBOSE = False
AXES_SENSITIVE_PARAMETERS = ["username"]  # people type passwords there; addresses are for the log

SECURE_SSL_REDIRECT = ENV.https
SECURE_REDIRECT_EXEMPT = HTTPS_REDIRECT_EXEMPT
SECURE_HSTS_SECONDS = 31_536_000 if ENV.https else 0
SESSION_COOKIE_SECURE = ENV.https
CSRF_COOKIE_SECURE = ENV.https
if ENV.https and ENV.trusted_proxy_count:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# Subdomains and browsers' preload lists belong to whoever owns the domain, not to this service.
# W001 to W003 and that of axes look for middlewares by names; config.middleware subclasses those.
SILENCED_SYSTEM_CHECKS = [
    *("security.W001", "security.W002", "security.W003", "axes.W002"),
    *("security.W005", "security.W021"),
]

# --- Static files, language, time, logs, metrics ----------------------------------------------

STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # nothing to collect before a start
STATIC_ROOT = DATA_DIR / "static"  # of collectstatic, for a proxy that serves them by itself
TIME_ZONE = "UTC"
FORMAT_MODULE_PATH = "common.formats"

LOGGING = logs.configuration(ENV.log_level, ENV.log_format)
ACCESS_LOG = ENV.access_log
METRICS_TOKEN = ENV.metrics_token.get_secret_value()
METRICS_DIR = ENV.metrics_dir or DATA_DIR / "metrics"
