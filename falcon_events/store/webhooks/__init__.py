"""Rows of webhooks and their deliveries, and the outbox that reads and writes them."""
