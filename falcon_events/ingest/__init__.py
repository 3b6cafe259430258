"""The way of an event: from a request to a new event and its outcome."""
