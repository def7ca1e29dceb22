"""What is committed of a run: prints and pictures, without what belongs to one machine."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_output

import notebooks as book


def kept(*outputs: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """What is kept of a cell with these outputs."""
    return book.curated(new_code_cell("", id="c05-10", outputs=list(outputs)))


def printed(text: str, name: str = "stdout") -> nbformat.NotebookNode:
    """A piece of a stream."""
    return new_output("stream", name=name, text=text)


def shown(kind: str, content: str) -> nbformat.NotebookNode:
    """A table or picture."""
    return new_output("display_data", data={kind: content}, metadata={"needs_background": "light"})


def test_prints_are_committed_in_their_order():
    """Nobody on GitHub saw a single printed line: not the student's answer, not its score."""
    table = shown("text/html", "<table></table>")
    pieces = [printed("之"), printed("前\n"), printed("warning\n", "stderr"), printed("·\n")]
    found = kept(*pieces, table, printed("之后\n"))
    assert [o.output_type for o in found] == ["stream", "display_data", "stream"]
    assert [found[0].text, found[2].text] == ["之前\n·\n", "之后\n"]
    assert found[1].metadata == {}


def test_a_bar_is_committed_as_it_ends():
    """Two hundred states of one progress bar, one below the other."""
    states = [printed(f"\r{n} %|{'█' * (n // 10)}") for n in range(0, 101, 5)]
    [one] = kept(*states, printed("\n\x1b[31m好\x1b[0m\r\n"))
    assert one.text == "100 %|██████████\n好\n"
    assert kept(printed("\r5 %\r  \n")) == []


@pytest.mark.parametrize(
    "text", ["/home/li/runs/smoke", "C:\\Users\\li", "in /tmp/tmpq3x/data", "sk-" + "a1" * 10]
)
def test_what_belongs_to_one_machine_names_its_cell(text):
    """A path or a key that is in the history stays there."""
    for output in (printed(f"写在 {text}\n"), shown("text/html", f"<b>{text}</b>")):
        with pytest.raises(ValueError, match="cell c05-10: it shows .* path of this machine"):
            kept(output)


def test_a_cell_that_prints_too_much_names_itself():
    """GitHub no longer renders a notebook of a few megabytes."""
    assert kept(printed("字" * 16_000))
    assert kept(shown("image/png", "A" * 66_000)), "base64: four letters for three bytes"
    with pytest.raises(ValueError, match=r"cell c05-10: its text/plain has 51,000 bytes, at most"):
        kept(*[printed("字" * 1_700) for _ in range(10)])
    with pytest.raises(ValueError, match="its image/png has"):
        kept(shown("image/png", "A" * 70_000))


def test_refresh_names_notebook_and_cell(tmp_path):
    """One bad cell among sixty, and no word which."""
    for folder, outputs in (("notebooks", []), ("executed", [printed("/root/x\n")])):
        cell = new_code_cell("", id="c05-10", outputs=outputs, metadata={"tags": [book.KEPT]})
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "05_a.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    with pytest.raises(ValueError, match=r"05_a\.ipynb: cell c05-10: it shows"):
        list(book.refresh(tmp_path, tmp_path / "executed"))
