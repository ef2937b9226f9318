"""Where a job runs, and the driver process that submits it."""
