"""Queries of the store's tables, and the rows of accounts, lists, keys and sessions."""
