"""The search for hyper-parameters: trials as ordinary jobs, of which the best third go on at each rung."""
