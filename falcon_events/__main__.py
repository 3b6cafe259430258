"""Run the falcon-events command: `python -m falcon_events`."""

from falcon_events.cli import main

if __name__ == "__main__":
    main()
