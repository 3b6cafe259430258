"""Administration of a store: its data, its webhooks, its metrics."""
