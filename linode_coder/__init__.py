"""Private coding LLMs on Linode GPU VMs."""

__version__ = "0.1.0"
