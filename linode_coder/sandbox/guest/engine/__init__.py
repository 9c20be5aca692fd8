"""The engine: vLLM's stand-in, and what starts the real one where a host has that."""
