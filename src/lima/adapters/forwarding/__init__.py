"""Listeners of this host whose clients are carried into the guest."""
