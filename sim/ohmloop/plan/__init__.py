"""From a user's matrix to codes, scale, bandwidth and waiting times."""
