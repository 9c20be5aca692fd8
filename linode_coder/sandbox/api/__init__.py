"""The Linode API v4 of the sandbox: one small module per resource."""
