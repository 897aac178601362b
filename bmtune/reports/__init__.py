"""Reports: what the records of a run say, on a terminal, in a log and as data."""
