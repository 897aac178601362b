"""Configuration: frozen, closed models and search spaces; imports no torch and no Ray."""
