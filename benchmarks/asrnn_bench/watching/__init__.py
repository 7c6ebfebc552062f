"""Show people the state of a run."""
