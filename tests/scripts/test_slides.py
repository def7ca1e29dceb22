"""The four pictures that a lecturer shows, as one PDF."""

from base64 import b64encode
from io import BytesIO
from pathlib import Path

import draw_slides
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

BOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def executed(folder: Path, ids) -> Path:
    """A folder with a notebook whose cells, of these ids, drew a picture each."""
    drawn = BytesIO()
    Image.new("RGB", (8, 4), "#c8553d").save(drawn, format="PNG")
    data = {"image/png": b64encode(drawn.getvalue()).decode()}
    cells = []
    for name in ids:
        cells.append(new_code_cell("", outputs=[new_output("display_data", data=data)]))
        cells[-1].id = name
    nbformat.write(new_notebook(cells=cells), folder / "01_a.ipynb")
    return folder


def test_a_slide_for_each_picture(tmp_path):
    """Pictures that were copied by hand into slides showed an older student."""
    target = draw_slides.draw(executed(tmp_path, draw_slides.SLIDES), tmp_path / "slides.pdf")
    pdf = target.read_bytes()
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page\n") == len(draw_slides.SLIDES) == 4


def test_a_picture_that_is_not_there_is_named(tmp_path):
    """An empty slide in front of a class."""
    some = [*draw_slides.SLIDES][1:]
    with pytest.raises(FileNotFoundError, match=rf"no picture of {[*draw_slides.SLIDES][0]};"):
        draw_slides.draw(executed(tmp_path, some), tmp_path / "slides.pdf")
    assert not (tmp_path / "slides.pdf").exists()


def test_the_cells_are_there_and_draw():
    """A cell that was renamed or cut took its slide with it."""
    sources = {}
    for path in BOOKS.glob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            sources[cell.id] = cell.source
    for name in draw_slides.SLIDES:
        assert "plots." in sources[name]
