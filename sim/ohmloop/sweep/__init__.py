"""Monte Carlo over many chips: grids of configurations and parameters, worked off by Dask, resumable, as tables and
pictures."""
