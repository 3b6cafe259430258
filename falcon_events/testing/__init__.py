"""For tests of applications that track events: a store in memory, a clock to set, and assertions (docs/testing.md)."""
