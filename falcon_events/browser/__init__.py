"""What runs in a visitor's browser: the tracker, the snippet that embeds it, and a page that shows it at work."""
