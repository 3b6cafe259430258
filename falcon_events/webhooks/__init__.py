"""Deliveries: committed events are posted to webhooks, by the process that owns the store."""
