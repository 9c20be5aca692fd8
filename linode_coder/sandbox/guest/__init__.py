"""Programs that run inside simulated hosts, with nothing but the standard library."""
