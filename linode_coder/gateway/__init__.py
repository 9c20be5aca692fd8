"""A local endpoint that outlives its sessions: it starts again the one that a request asks for, and passes the request on."""
