"""Make pages: HTML for a notebook that says the same in plain text, and where styles are dropped.

In: texts. Out: HTML. Shown in every notebook.

What a page keeps: GitHub drops styles, and JupyterLab, in a notebook that it does not trust, style
sheets, scripts and SVG; both keep `mark ins del small details summary pre table`. So meaning stands
in tags and text, and styles only make it handsome.
"""

from __future__ import annotations

import re
from html import escape, unescape

from IPython.display import HTML

from miniluotuo_utils.show.colours import INK, PAPER

# Every style sets text and ground, so that a dark page never puts light on light.
PAGE = (
    f"line-height:2.1;font-size:14px;background:{PAPER};color:{INK};padding:6px;"
    "overflow-wrap:break-word"
)
BREAKS = re.compile(r"<br>|</(?:p|tr|pre|div|summary|table)>")


class Page(HTML):
    """HTML for a notebook, and the same in plain text for a terminal."""

    def __repr__(self) -> str:
        """Return what the page says, without its marks."""
        return plain(self.data)


def html(text: str) -> Page:
    """Return text with HTML marks as a notebook's output."""
    return Page(f'<div style="{PAGE}">{text}</div>')


def plain(marked: str) -> str:
    """Return the text of a piece of HTML: a line for a line, a row for a row of a table.

    >>> plain("<table><tr><td>甲</td><td>1 &lt; 2</td></tr><tr><td>乙</td><td></td></tr></table>")
    '甲 | 1 < 2\\n乙 |'
    """
    text = re.sub(r"</t[dh]>(?=<t[dh])", " | ", marked)
    text = re.sub("<[^>]*>", "", BREAKS.sub("\n", text))
    written = (line.rstrip() for line in unescape(text).replace("\xa0", " ").splitlines())
    return "\n".join(line for line in written if line)


def lines(text: str) -> str:
    r"""Return a text as HTML that shows it as it is, line breaks too.

    >>> lines("1 < 2\n")
    '1 &lt; 2<br>'
    """
    return escape(text).replace("\n", "<br>")


def unstyled(text: str) -> str:
    """Return text that only a page without styles shows, to say what its colours would say."""
    return f'<span style="font-size:0">{text}</span>'
