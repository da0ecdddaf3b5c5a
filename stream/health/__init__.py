"""Battery health from the stream: vectorised, pure figures, and the job that keeps them."""
