"""What tests are made with: child processes, servers, certificates."""
