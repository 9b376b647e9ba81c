"""The few addresses of CVAT's programming interface that a host's daemon meets."""

import hashlib
import io
import json
import tarfile

from django.contrib.auth import authenticate
from django.contrib.auth import login as start_session
from django.http import HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from cvat.engine import auth, checks
from cvat.engine.models import Token
from cvat.version import VERSION

PACKAGES = ("server", "users", "tasks", "jobs", "projects")


def about(request):
    if not auth.allowed("server", auth.user_of(request)):
        return JsonResponse({"detail": "forbidden"}, status=403)
    return JsonResponse(
        {"name": "Computer Vision Annotation Tool", "description": "", "version": VERSION, "subtitle": None}
    )


def health(request):
    found = checks.run()
    return JsonResponse(found, status=200 if all(words == checks.WORKING for words in found.values()) else 500)


def rules(request):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as bundle:
        for package in PACKAGES:
            text = f"package {package}\n\ndefault allow := false\n".encode()
            info = tarfile.TarInfo(f"{package}.rego")
            info.size = len(text)
            bundle.addfile(info, io.BytesIO(text))
    etag = '"' + hashlib.sha256(VERSION.encode()).hexdigest() + '"'
    if request.headers.get("If-None-Match") == etag:
        return HttpResponse(status=304)
    return HttpResponse(content.getvalue(), content_type="application/gzip", headers={"ETag": etag})


@csrf_exempt
def login(request):
    if request.method != "POST":
        return JsonResponse({"detail": "Method not allowed."}, status=405)
    try:
        body = json.loads(request.body)
        user = authenticate(request, username=str(body["username"]), password=str(body["password"]))
    except (ValueError, KeyError, TypeError):
        user = None
    if user is None:
        return JsonResponse({"non_field_errors": ["Unable to log in with provided credentials."]}, status=400)
    start_session(request, user)
    return JsonResponse({"key": Token.objects.get_or_create(user=user)[0].key})


def users_self(request):
    user = auth.user_of(request)
    if user is None:
        return JsonResponse({"detail": "Authentication credentials were not provided."}, status=401)
    if not auth.allowed("users", user):
        return JsonResponse({"detail": "forbidden"}, status=403)
    groups = list(user.groups.values_list("name", flat=True))
    names = {"id": user.id, "username": user.username, "email": user.email, "groups": groups}
    return JsonResponse(names | {"is_staff": user.is_staff, "is_superuser": user.is_superuser})
