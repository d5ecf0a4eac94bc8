"""How the commands for operators reach the service: over the admin API, or straight on Redis."""
