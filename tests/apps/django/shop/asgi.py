"""What uvicorn serves: the same pages, and a WebSocket."""

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
pages = get_asgi_application()

# Channels reads the settings when it is imported: only from here on are they there.
from .consumers import Echo  # noqa: E402

application = ProtocolTypeRouter({"http": pages, "websocket": URLRouter([path("echo/", Echo.as_asgi())])})
