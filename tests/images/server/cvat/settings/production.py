"""Settings read from the environment under CVAT's own names."""

import contextlib
import os
import secrets
from pathlib import Path
from urllib.parse import quote

from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path("/home/django")
DATA_ROOT = BASE_DIR / "data"
KEY_FILE = BASE_DIR / "keys" / "secret_key.py"


def secret_key() -> str:
    """Made at the first start: a hard link lets only one of several processes win."""
    if "DJANGO_SECRET_KEY" in os.environ:
        return os.environ["DJANGO_SECRET_KEY"]
    if not KEY_FILE.exists():
        fresh = KEY_FILE.with_name(f"secret_key.{secrets.token_hex(4)}")
        fresh.write_text(f"SECRET_KEY = '{secrets.token_urlsafe(40)}'\n")
        with contextlib.suppress(FileExistsError):
            os.link(fresh, KEY_FILE)
        fresh.unlink()
    name, sign, value = KEY_FILE.read_text().strip().partition(" = ")
    if (name, sign) != ("SECRET_KEY", " = "):
        raise ImproperlyConfigured("secret_key.py holds something else than SECRET_KEY")
    return value.strip("'\"")


def postgres_password() -> str:
    if {"CVAT_POSTGRES_PASSWORD", "CVAT_POSTGRES_PASSWORD_FILE"} <= os.environ.keys():
        raise ImproperlyConfigured("CVAT_POSTGRES_PASSWORD and CVAT_POSTGRES_PASSWORD_FILE are both set")
    file = os.environ.get("CVAT_POSTGRES_PASSWORD_FILE")
    return Path(file).read_text().rstrip("\n") if file else os.environ.get("CVAT_POSTGRES_PASSWORD", "")


def redis_url(kind: str, number: int) -> str:
    password = quote(os.environ.get(f"CVAT_REDIS_{kind}_PASSWORD", ""), safe="")
    host, port = os.environ[f"CVAT_REDIS_{kind}_HOST"], os.environ[f"CVAT_REDIS_{kind}_PORT"]
    return f"redis://:{password}@{host}:{port}/{number}" if password else f"redis://{host}:{port}/{number}"


SECRET_KEY = secret_key()
DEBUG = False
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1").split(",")
CVAT_BASE_URL = os.environ.get("CVAT_BASE_URL", "http://localhost:8080")
OPA_URL = os.environ.get("CVAT_OPA_URL", "http://opa:8181")
DISK_USAGE_MAX = int(os.environ.get("CVAT_HEALTH_DISK_USAGE_MAX", "90"))

SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
USE_X_FORWARDED_HOST = True
DATA_UPLOAD_MAX_MEMORY_SIZE = 100 << 20
TUS_MAX_FILE_SIZE = 26843545600

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_rq",
    "cvat.engine",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "cvat.engine.auth.SessionOrigin",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "cvat.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
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
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ.get("CVAT_POSTGRES_HOST", "cvat_db"),
        "PORT": os.environ.get("CVAT_POSTGRES_PORT", "5432"),
        "NAME": os.environ.get("CVAT_POSTGRES_DBNAME", "cvat"),
        "USER": os.environ.get("CVAT_POSTGRES_USER", "root"),
        "PASSWORD": postgres_password(),
        "OPTIONS": {"application_name": os.environ.get("CVAT_POSTGRES_APPLICATION_NAME", "cvat:manage")},
    }
}
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": redis_url("INMEM", 1)},
    "media": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": redis_url("ONDISK", 0)},
}
RQ_QUEUES = {
    name: {"URL": redis_url("INMEM", 0), "DEFAULT_TIMEOUT": timeout_s}
    for name, timeout_s in {
        "import": 4 * 3600,
        "export": 4 * 3600,
        "annotation": 24 * 3600,
        "webhooks": 25,
        "notifications": 3600,
        "quality_reports": 3600,
        "cleaning": 2 * 3600,
        "chunks": 300,
        "consensus": 3600,
    }.items()
}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "static"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}
