"""Plain views, which Django runs in threads under ASGI, so they may wait for a commit."""

from django.contrib.auth import get_user_model, login
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.utils.safestring import mark_safe
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from falcon_events.http import visitor_of
from newsletters.models import Newsletter
from newsletters.tracking import tracking


def index(request: HttpRequest) -> HttpResponse:
    """List every newsletter."""
    return render(request, "index.html", {"newsletters": Newsletter.objects.all()})


def newsletter(request: HttpRequest, list_id: int) -> HttpResponse:
    """Return a newsletter's page, which tracks its own views."""
    found = get_object_or_404(Newsletter, pk=list_id)
    tracker = tracking.snippet(found.pk, found.page_key, url="/tracking")
    return render(request, "newsletter.html", {"newsletter": found, "tracker": mark_safe(tracker)})


@csrf_exempt  # lets curl send the request; a form of yours has a CSRF token
@require_POST
def join(request: HttpRequest) -> HttpResponse:
    """Create a user with a newsletter, sign the user in, and track the event; a call from Python needs no credential."""
    email = request.POST.get("email", "")
    users = get_user_model().objects
    try:
        validate_email(email)
    except ValidationError:
        return JsonResponse({"error": "Give a valid address."}, status=422)
    if users.filter(username=email).exists():
        return JsonResponse({"error": "This address has joined already."}, status=409)
    user = users.create_user(email, email)
    made = Newsletter.objects.create(owner=user, name=request.POST.get("newsletter", "News"))
    login(request, user)
    tracking.track(
        made.pk,
        "join",
        email=email,
        id=user.pk,
        uuid=visitor_of(request),
        properties={"newsletter": made.name},
        on_error="log",  # a user joins, whatever happens to the event
    )
    return JsonResponse({"newsletter": made.pk}, status=201)


def properties(request: HttpRequest) -> HttpResponse:
    """Return the property names of each newsletter of the signed-in user."""
    if not request.user.is_authenticated:
        return JsonResponse({"error": "Sign in first."}, status=401)
    return JsonResponse({made.name: tracking.properties(made.pk) for made in Newsletter.objects.filter(owner=request.user)})
