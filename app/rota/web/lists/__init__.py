"""What pages with lists share: pages of the API, and the filters of runs."""
