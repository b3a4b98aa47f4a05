"""What stands between the daemon and the operating system: systemd, logs, signals, threads."""
