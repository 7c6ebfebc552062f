"""Choose where jobs run, and run them there."""
