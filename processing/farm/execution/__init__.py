"""Stage runs carried out: in this process or on Dask, with a journal."""
