"""Work on a Dask cluster: the one room that knows Dask, entered only where a cluster was named."""

from advisor.errors import InputError

try:
    import distributed  # noqa: F401
except ModuleNotFoundError as exc:
    raise InputError("a cluster needs the package distributed: pip install 'wattframe[cluster]'") from exc
