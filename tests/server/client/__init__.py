"""The client for a remote server."""
