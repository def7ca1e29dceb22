"""01: the catalog of sources, downloads, readers, cleaning and mixing."""

from miniluotuo_utils.data.anyfile import open_data, read_any
from miniluotuo_utils.data.catalog import CATALOG
from miniluotuo_utils.data.cleaning import clean
from miniluotuo_utils.data.conversion import convert
from miniluotuo_utils.data.loading import available, files, from_previous, load
from miniluotuo_utils.data.mixture import mix
from miniluotuo_utils.moved import names as moved_names

__all__ = [
    "CATALOG",
    "available",
    "clean",
    "convert",
    "files",
    "from_previous",
    "load",
    "mix",
    "open_data",
    "read_any",
]
__getattr__ = moved_names(__name__)
