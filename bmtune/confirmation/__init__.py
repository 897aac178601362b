"""Confirmation: how good the best configurations are on seeds that the search has not seen. Nothing here trains."""
