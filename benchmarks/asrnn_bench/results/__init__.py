"""Keep records, and turn them into leaderboards."""
