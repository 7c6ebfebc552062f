"""Run jobs on a Slurm cluster: submit them as job arrays, watch the queue, and submit again what it loses."""
