"""A Linode account on your own machine."""
