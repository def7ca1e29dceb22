"""01: the catalog of sources, downloads, readers, cleaning and mixing."""

from miniluotuo_utils.data.catalog import CATALOG, Card, files, load
from miniluotuo_utils.data.cleaning import clean, mix

__all__ = ["CATALOG", "Card", "clean", "files", "load", "mix"]
