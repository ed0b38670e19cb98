"""Pages for everybody, for one person, and forms."""

from django.http import HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect, JsonResponse
from django.middleware.csrf import get_token
from django.utils.html import escape
from django.views.decorators.cache import cache_control

FORM = """<form method="post"><input type="hidden" name="csrfmiddlewaretoken" value="{token}">
<input name="{field}"><button>Send</button></form>"""


@cache_control(max_age=60)
def home(request):
    """The same for everybody, and says so: it never looks at the session."""
    return HttpResponse("<h1>The shop</h1>")


@cache_control(max_age=60)
def greeting(request):
    """Depends on who is logged in. Reading the session makes Django send Vary: Cookie."""
    name = request.session.get("name", "stranger")
    return HttpResponse(f"<p>Hello, {escape(name)}.</p>")


def login(request):
    """Anybody may log in under any name."""
    if request.method == "POST":
        request.session["name"] = request.POST["name"]
        return HttpResponseRedirect("/greeting/")
    return HttpResponse(FORM.format(token=get_token(request), field="name"))


def contact(request):
    """A form without a session: what was sent comes back."""
    if request.method == "POST":
        return HttpResponse(f"<p>You wrote: {escape(request.POST['message'])}</p>")
    if request.method == "GET":
        return HttpResponse(FORM.format(token=get_token(request), field="message"))
    return HttpResponseNotAllowed(["GET", "POST"])


@cache_control(public=True, max_age=300)
def prices(request):
    """A file's worth of JSON."""
    return JsonResponse({"prices": [{"id": number, "cents": 499 + 100 * number} for number in range(100)]})
