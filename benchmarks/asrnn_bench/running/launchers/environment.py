"""The variables by which a runner and its workers know each other."""

WORKER_VARIABLE = "ASRNN_BENCH_WORKER"
"""Set in a worker, to its job directory: a model's file that starts a run there would start runs without end."""

RUNNER_VARIABLE = "ASRNN_BENCH_RUNNER"
"""Set by whoever starts a worker, to its own process id: the worker ends with it."""

ATTEMPT_VARIABLE = "ASRNN_BENCH_ATTEMPT"
"""Set by a supervisor, to the number of the attempt that it has claimed for its worker."""

CORES_VARIABLE = "ASRNN_BENCH_CORES"
"""Set by a local runner, to the cores that a worker keeps to."""

DEVICES_VARIABLE = "ASRNN_BENCH_DEVICES"
"""Set by a launcher, to how many GPUs a worker has on its node: one that sees fewer must not train."""

SLOTS_VARIABLE = "ASRNN_BENCH_SLOTS"
"""Set by a local runner, to how many jobs it runs at a time on its machine: they share memory and caches."""

JOBS_PER_DEVICE_VARIABLE = "ASRNN_BENCH_JOBS_PER_DEVICE"
"""Set by a runner, to how many jobs share one device."""

KEEP_BUFFERS = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 32)}
"""Let glibc reuse large buffers, which it otherwise returns and asks for anew, page by page, at every step.

One training step of ``torch.nn.LSTM`` on one thread took 166 ms with them and 330 ms without, at B = 64, T = 784,
I = 1, H = 64; no number changes.
"""
