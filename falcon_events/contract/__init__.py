"""The contract of the HTTP API, without web framework or database: from bytes to a request, or to failures with their codes."""
