"""What Prometheus reads of sessions, money and watchers, with the alerts and the dashboard that go with it."""
