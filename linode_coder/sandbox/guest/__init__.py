"""Programs that play a host's tools inside simulated and docker hosts, with nothing but the standard library."""
