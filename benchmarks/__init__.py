"""What Rota does per second, how late it is and what it costs, beside its peers in the same run."""
