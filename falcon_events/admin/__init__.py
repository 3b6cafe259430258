"""Administration of a store: its data, its webhooks and its metrics."""
