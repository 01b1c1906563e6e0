"""The judge in the caller's process: the queue, and a thread for each process of the referee."""
