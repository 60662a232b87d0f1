"""Real systemd hosts on one machine, for rplay's tests, demos and benches."""
