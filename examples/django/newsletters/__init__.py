"""Newsletters, and what is tracked for them."""
