"""Work on a Dask cluster: the one room that knows Dask, entered only where a cluster was named."""
