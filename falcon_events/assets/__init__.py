"""Files that a browser loads: the tracker, its snippet and demo, and the page that renders the OpenAPI document."""
