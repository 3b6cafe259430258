"""Newsletters: each is a list of the tracking API, and its primary key is the ListID."""

import secrets

from django.conf import settings
from django.db import models


class Newsletter(models.Model):
    """A user's newsletter."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    name = models.CharField(max_length=200)
    page_key = models.CharField(max_length=64, unique=True, default=secrets.token_urlsafe)
    """Key in the newsletter's web pages: it allows tracking on this newsletter, and nothing else."""
