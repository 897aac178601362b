"""The search: Optuna proposes, Ray Tune runs, halving stops, records remember."""
