"""python -m falcon_events: the falcon-events command."""

from falcon_events.cli import main

if __name__ == "__main__":
    main()
