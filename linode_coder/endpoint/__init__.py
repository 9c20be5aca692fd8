"""The way to the engine: the tunnel and its keeper, what clients are told, what the engine is doing."""
