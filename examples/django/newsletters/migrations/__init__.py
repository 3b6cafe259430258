"""How the newsletters' table has become what it is."""
