"""Files that browsers load: the tracker, its snippet and demo, and the page that renders the OpenAPI document."""
