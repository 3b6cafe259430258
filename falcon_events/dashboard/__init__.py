"""The dashboard: pages that answer questions about a list."""
