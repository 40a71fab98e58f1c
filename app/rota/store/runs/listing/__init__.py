"""Lists of runs: their filters, how few they are, the latest ones, and failures by kind."""
