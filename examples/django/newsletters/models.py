"""Newsletters: each is a list of the tracking API, its primary key the ListID."""

import secrets

from django.conf import settings
from django.db import models


class Newsletter(models.Model):
    """A newsletter of a user's."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    name = models.CharField(max_length=200)
    page_key = models.CharField(max_length=64, unique=True, default=secrets.token_urlsafe)
    """What stands in its web pages: it allows to track on this newsletter, and nothing else."""
