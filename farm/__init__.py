"""Work on a Dask cluster: the one room that knows Dask, entered only where a cluster was named."""

from advisor.errors import InputError

try:
    import dask

    # what goes wrong is told by whoever asked; Dask would also print a page for every try
    dask.config.set(
        logging=dict.fromkeys(("distributed", "distributed.client", "tornado", "asyncio"), "critical")
    )
    import distributed  # noqa: F401
except ModuleNotFoundError as exc:
    raise InputError(
        "a cluster needs the package distributed: pip install '.[cluster]' in the checkout"
    ) from exc
