"""Running the core: its steps, its pending results, and what a process does when it forks or exits."""
