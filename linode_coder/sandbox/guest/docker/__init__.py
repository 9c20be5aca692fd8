"""Docker, Compose and what the containers run that are not the engine."""
