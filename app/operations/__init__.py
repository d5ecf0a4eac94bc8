"""What operators ask for and do: the same over the admin API and straight on the store."""
