"""01: the catalog of sources, downloads, readers, cleaning and mixing."""

from miniluotuo_utils.data.catalog import CATALOG, files, handed, load
from miniluotuo_utils.data.cleaning import clean
from miniluotuo_utils.data.mixture import mix

__all__ = ["CATALOG", "clean", "files", "handed", "load", "mix"]
