"""The event engine: journals events and applies them to the tables."""
