"""Who asks: by password (Basic), by token, or by session; and whether OPA's rules let them."""

import base64
import json
import urllib.request

from django.conf import settings
from django.contrib.auth import authenticate
from django.http import JsonResponse
from django.middleware.csrf import CsrfViewMiddleware

from cvat.engine.models import Token

OPA_TIMEOUT_S = 5


def user_of(request):
    """None where nobody is known."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme == "Basic":
        try:
            username, _, password = base64.b64decode(value).decode().partition(":")
        except ValueError:
            return None
        return authenticate(request, username=username, password=password)
    if scheme == "Token":
        token = Token.objects.filter(key=value).select_related("user").first()
        return token.user if token else None
    return request.user if request.user.is_authenticated else None


class SessionOrigin(CsrfViewMiddleware):
    """What a session sends to the API, as CVAT's framework has it: the caller is told why it is refused, no log is."""

    def process_view(self, request, callback, callback_args, callback_kwargs):
        if not request.path.startswith("/api/") or "Authorization" in request.headers:
            return None
        return super().process_view(request, None, (), {}) if request.user.is_authenticated else None

    def _reject(self, request, reason):
        return JsonResponse({"detail": f"CSRF Failed: {reason}"}, status=403)


def allowed(package, user):
    """Raises OSError where OPA cannot be asked, which Django answers with 500, as CVAT does."""
    privilege = next(iter(user.groups.values_list("name", flat=True)), None) if user else None
    question = {"input": {"auth": {"user": {"privilege": privilege}}}}
    request = urllib.request.Request(
        f"{settings.OPA_URL}/v1/data/{package}/allow", data=json.dumps(question).encode(), method="POST"
    )
    with urllib.request.urlopen(request, timeout=OPA_TIMEOUT_S) as answer:
        result = json.loads(answer.read())["result"]
    return bool(result["allow"])
