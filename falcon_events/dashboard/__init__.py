"""The dashboard: pages about a list's events for a browser. It asks the query API's own questions, and knows no SQL."""
