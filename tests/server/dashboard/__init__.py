"""Tests of the dashboard's pages, as a browser without scripts sees them."""
