"""Where sessions are kept: one module per backend, its client library imported on first use."""
