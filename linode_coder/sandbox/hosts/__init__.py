"""Where the instances of the sandbox run."""
