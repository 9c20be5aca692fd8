"""The timer that runs the watchdog, and who watches."""
