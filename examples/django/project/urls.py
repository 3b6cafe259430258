"""Which view answers what; what is below /tracking never gets here."""

from django.urls import path
from newsletters import views

urlpatterns = [
    path("", views.index),
    path("join", views.join),
    path("newsletters/<int:list_id>", views.newsletter),
    path("properties", views.properties),
]
