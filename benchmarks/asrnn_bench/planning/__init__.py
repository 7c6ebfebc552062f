"""From a suite to jobs; nothing here imports torch."""
