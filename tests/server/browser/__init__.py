"""The tracker in a real browser, against the real server on another origin."""
