"""The dashboard: pages and reports about stored events, made by Jinja2 from the answers to questions."""
