"""What takes longer than anybody likes to wait."""

import json
import time
import urllib.request

from django.http import HttpResponse

STEPS = 20


def yearly(request):
    """A report of 20 seconds, one a step, which says how far it is where somebody wants to know."""
    for step in range(STEPS):
        time.sleep(1)
        tell(request, 100 * (step + 1) // STEPS)
    rows = "".join(f"{month},{month * 1000 + step}\n" for month in range(1, 13) for step in range(STEPS))
    return HttpResponse("month,cents\n" + rows, content_type="text/csv", headers={"X-Report": "yearly"})


def tell(request, percent):
    """Pacecar says where in a field of its own. Clients cannot set that, but they choose the host: only this machine."""
    task, host = request.headers.get("Pacecar-Task"), request.headers.get("X-Forwarded-Host", "")
    if task and host.startswith("127.0.0.1:"):
        body = json.dumps({"progress": percent}).encode()
        urllib.request.urlopen(f"http://{host}{task}", body, timeout=10).close()
