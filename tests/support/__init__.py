"""What several test folders share: real processes, real peers, secrets for one run."""
