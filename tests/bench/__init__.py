"""`make bench`: what the server costs, measured with clients that speak the real protocol."""
