"""What stands before the routes: authentication, and requests that are cut off by a shutdown."""
