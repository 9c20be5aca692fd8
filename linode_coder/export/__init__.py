"""What a session serves, written for somebody else's machinery: a Kubernetes cluster that Linode runs."""
