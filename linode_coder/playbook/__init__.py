"""Where the playbooks are, and how ansible-runner runs them."""
