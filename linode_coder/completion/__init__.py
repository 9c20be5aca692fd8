"""Completion for bash, zsh and fish: from a table of the commands and what this machine remembers, without the API."""
