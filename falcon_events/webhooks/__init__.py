"""Webhooks: delivery of committed events, by the process that owns the store and a child process that posts."""
