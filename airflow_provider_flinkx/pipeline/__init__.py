"""How rows move: the Flink graph plan -> sync -> report, throttle, error limit, rejects."""
