"""Fill unverified pins: where there is a network, read the real file once and write its commit, size and SHA-256.

    python scripts/pin.py NAME...

In: a card's name. Out: the card with its pins filled.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from miniluotuo_utils.data.catalog import CARDS
from miniluotuo_utils.data.download import addresses, home, local, mirrored, progress_bar, receive
from miniluotuo_utils.data.loading import loadable
from miniluotuo_utils.files import DataError, file_sha256, written_whole

API = "https://api.github.com"
COMMIT = re.compile(r"[0-9a-f]{40}")


def pin_card(name: str, folder: Path = CARDS) -> list[str]:
    """Fill every null pin of a card from the real file, write the card, and return what was filled, a line per file.

    A branch in an address becomes the commit that it stands for now. Pins that are filled already are left alone.
    """
    path = folder / f"{name}.json"
    value = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    if value is None:
        loadable(name)
        raise DataError(f"{path.name} is not in the folder of cards")
    filled = []
    for pin in (pin for pins in value["splits"].values() for pin in pins):
        if not pin["url"].startswith("package:") and not (pin["bytes"] and pin["sha256"]):
            pin["url"] = at_commit(pin["url"])
            found = whole(pin["url"])
            pin["bytes"], pin["sha256"] = found.stat().st_size, file_sha256(found)
            filled.append(
                f"{Path(mirrored(pin['url'])).name}: {pin['bytes']:,} bytes, sha256 {pin['sha256'][:12]}…"
            )
    if filled:
        with written_whole(path) as partial:
            partial.write_text(
                json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
            )
    return filled


def whole(url: str) -> Path:
    """The file of an address without a pin: downloaded anew into the cache, or where a person put it."""
    pin = {"url": url, "bytes": None, "sha256": None}
    if url.startswith("manual:"):
        if (path := local(pin)) is None:
            raise FileNotFoundError(
                f"{mirrored(url)} is neither in the mirror folder nor in the cache; put it there first"
            )
        return path
    target = home() / mirrored(url)
    with written_whole(target) as partial, progress_bar(None, True) as bar:
        receive(addresses(url)[-1], partial, bar)  # the source itself, never a mirror
    return target


def at_commit(url: str) -> str:
    """A hub or GitHub address with the commit that its branch stands for now; an address with a commit is left as it is.

    >>> at_commit("manual:a/b.json")
    'manual:a/b.json'
    """
    import requests

    hub = re.fullmatch(r"(https://huggingface\.co/.+/resolve/)([^/]+)(/.+)", url)
    if hub and not COMMIT.fullmatch(hub[2]):
        answer = requests.head(addresses(url)[-1], allow_redirects=False, timeout=30)
        return hub[1] + commit_of(answer.headers.get("X-Repo-Commit", ""), url) + hub[3]
    raw = re.fullmatch(r"(https://raw\.githubusercontent\.com/([^/]+/[^/]+)/)([^/]+)(/.+)", url)
    if raw and not COMMIT.fullmatch(raw[3]):
        asked = f"{API}/repos/{raw[2]}/commits/{raw[3]}"
        answer = requests.get(asked, headers={"Accept": "application/vnd.github.sha"}, timeout=30)
        return raw[1] + commit_of(answer.text, url) + raw[4]
    return url


def commit_of(text: str, url: str) -> str:
    """A commit as the host answered it, DataError where it is none."""
    if not COMMIT.fullmatch(text.strip()):
        raise DataError(
            f"{url}: the host did not say which commit this is (found {text[:40]!r}); pin it by hand"
        )
    return text.strip()


if __name__ == "__main__":
    try:
        for name in sys.argv[1:]:
            print(
                f"{name}: " + ("; ".join(pin_card(name)) or "nothing to fill, every pin is there")
            )
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
