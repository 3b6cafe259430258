"""The process that holds the store file."""
