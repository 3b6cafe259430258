"""Tests of falcon_events."""
