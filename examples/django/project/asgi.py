"""The project as an ASGI application, with tracking around it."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django = get_asgi_application()

from newsletters.tracking import tracking  # noqa: E402 - models can be imported only now

from falcon_events.http import ASGIMiddleware  # noqa: E402

application = ASGIMiddleware(django, tracking, prefix="/tracking")
