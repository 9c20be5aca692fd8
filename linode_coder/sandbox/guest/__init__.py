"""What runs inside a simulated host; standard library only, started by the guest's own python3."""
