"""Uploads in pieces (tus) to the disk, and their download."""

import json
import shutil

from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from cvat.engine import auth
from cvat.engine.models import Upload

PIECE_BYTES = 1 << 20
HEADERS = {"Tus-Resumable": "1.0.0", "Tus-Version": "1.0.0"}


def _file(upload):
    return settings.DATA_ROOT / "tmp" / str(upload.id)


def _response(status, **headers):
    named = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    return HttpResponse(status=status, headers=HEADERS | named)


@csrf_exempt
def create(request, task):
    if auth.user_of(request) is None:
        return JsonResponse({"detail": "Authentication credentials were not provided."}, status=401)
    length = int(request.headers.get("Upload-Length", -1))
    if not 0 <= length <= settings.TUS_MAX_FILE_SIZE:
        return _response(413 if length > 0 else 400)
    upload = Upload.objects.create(task=task, length=length)
    _file(upload).parent.mkdir(exist_ok=True)
    _file(upload).touch()
    return _response(201, Location=request.build_absolute_uri(str(upload.id)), Upload_Offset=0)


@csrf_exempt
def one(request, task, upload):
    if auth.user_of(request) is None:
        return JsonResponse({"detail": "Authentication credentials were not provided."}, status=401)
    found = Upload.objects.filter(id=upload, task=task).first()
    if found is None:
        return JsonResponse({"detail": "Not found."}, status=404)
    file = _file(found)
    if request.method == "HEAD":
        return _response(200, Upload_Offset=file.stat().st_size, Upload_Length=found.length)
    if request.method == "PATCH":
        return _append(request, found, file)
    # The inner nginx sends it.
    return _response(200, X_Accel_Redirect=f"/data/tmp/{found.id}", Content_Type="application/octet-stream")


def _append(request, found, file):
    if int(request.headers.get("Upload-Offset", -1)) != file.stat().st_size:
        return _response(409)
    with file.open("ab") as target:
        shutil.copyfileobj(request, target, PIECE_BYTES)
    size = file.stat().st_size
    if size > found.length:
        file.unlink()
        return HttpResponse(json.dumps({"detail": "more than was said"}), status=400)
    return _response(204, Upload_Offset=size)
