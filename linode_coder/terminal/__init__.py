"""What reaches the terminal: the two streams, the live lines, what is escaped, what a signal does."""
