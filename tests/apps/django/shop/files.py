"""An upload, and a report that comes part by part."""

import asyncio
import hashlib
import queue

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.views.decorators.csrf import csrf_exempt

FORM = """<form method="post" enctype="multipart/form-data">
<input type="hidden" name="csrfmiddlewaretoken" value="{token}">
<input name="title"><input name="file" type="file"><button>Send</button></form>"""

# Parts of the report that have been asked for. Nobody is waited for longer than this, in seconds.
asked_for = queue.Queue()
PATIENCE = 60


def upload(request):
    """Says what came."""
    if request.method == "GET":
        return HttpResponse(FORM.format(token=get_token(request)))
    file, digest = request.FILES["file"], hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    title = request.POST["title"]
    return JsonResponse({"title": title, "name": file.name, "bytes": file.size, "sha256": digest.hexdigest()})


def report(request):
    """One part at once, and each other one only when it has been asked for; "end" is the last."""
    if isinstance(request, ASGIRequest):
        return StreamingHttpResponse(parts_without_blocking(), content_type="text/plain")
    return StreamingHttpResponse(parts(), content_type="text/plain")


@csrf_exempt
def ask(request):
    """Asks for the part that is the request's body."""
    asked_for.put(request.body.decode())
    return HttpResponse(status=202)


def parts():
    part = "begin"
    yield f"{part}\n"
    while part != "end":
        part = asked_for.get(timeout=PATIENCE)
        yield f"{part}\n"


async def parts_without_blocking():
    part = "begin"
    yield f"{part}\n"
    while part != "end":
        part = await asyncio.to_thread(asked_for.get, timeout=PATIENCE)
        yield f"{part}\n"
