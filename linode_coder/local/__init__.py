"""What this control node keeps: sessions, locks, history, budget, and what is left when a session is gone."""
