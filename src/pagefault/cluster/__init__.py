"""Many agents: hosts, stores and the scheduler as Ray actors.  The only folder that imports ray."""
