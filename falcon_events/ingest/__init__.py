"""Ingesting events: from a request to a new event and its outcome."""
