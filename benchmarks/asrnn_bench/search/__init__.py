"""Search for hyper-parameters: trials are ordinary jobs, and the best third go on at each rung."""
