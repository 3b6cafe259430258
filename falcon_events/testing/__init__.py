"""Tools for testing applications that track events: a store in memory, a clock and assertions (docs/testing.md)."""
