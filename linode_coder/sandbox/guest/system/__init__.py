"""Tools of the operating system."""
