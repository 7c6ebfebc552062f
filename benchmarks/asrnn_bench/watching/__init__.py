"""Show people where a run stands."""
