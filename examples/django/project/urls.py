"""Views by path; the middleware answers the tracker's paths below /tracking before they get here."""

from django.urls import path
from newsletters import views

urlpatterns = [
    path("", views.index),
    path("join", views.join),
    path("newsletters/<int:list_id>", views.newsletter),
    path("properties", views.properties),
]
