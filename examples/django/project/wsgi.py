"""The project as a WSGI application, with tracking around it."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django = get_wsgi_application()

from newsletters.tracking import tracking  # noqa: E402 - models can be imported only now

from falcon_events.http import WSGIMiddleware  # noqa: E402

application = WSGIMiddleware(django, tracking, prefix="/tracking")
