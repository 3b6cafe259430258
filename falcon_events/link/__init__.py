"""The link between a process that tracks events and the owner process, which holds the store's file."""
