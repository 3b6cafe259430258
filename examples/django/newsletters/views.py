"""Pages and requests; plain views, which Django runs in threads under ASGI, so they may wait for a commit."""

from django.contrib.auth import get_user_model, login
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.utils.safestring import mark_safe
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from newsletters.models import Newsletter
from newsletters.tracking import tracking


def index(request: HttpRequest) -> HttpResponse:
    """Every newsletter."""
    return render(request, "index.html", {"newsletters": Newsletter.objects.all()})


def newsletter(request: HttpRequest, list_id: int) -> HttpResponse:
    """A newsletter's page, which tracks its views by itself."""
    found = get_object_or_404(Newsletter, pk=list_id)
    tracker = tracking.snippet(found.pk, found.page_key, url="/tracking")
    return render(request, "newsletter.html", {"newsletter": found, "tracker": mark_safe(tracker)})


@csrf_exempt  # so that curl can send it; a form of yours has a token
@require_POST
def join(request: HttpRequest) -> HttpResponse:
    """Somebody joins, is signed in and has a newsletter; the event goes to that, and no credential is needed here."""
    email = request.POST["email"]
    user = get_user_model().objects.create_user(email, email)
    made = Newsletter.objects.create(owner=user, name=request.POST["newsletter"])
    login(request, user)
    tracking.track(made.pk, "join", email=email, id=user.pk, properties={"newsletter": made.name})
    return JsonResponse({"newsletter": made.pk}, status=201)


def properties(request: HttpRequest) -> HttpResponse:
    """What was tracked for each newsletter of whoever is signed in."""
    if not request.user.is_authenticated:
        return JsonResponse({"error": "Sign in first."}, status=401)
    return JsonResponse({made.name: tracking.properties(made.pk) for made in Newsletter.objects.filter(owner=request.user)})
