"""Functions of the host application that see events: before they are stored, and after they were committed."""
