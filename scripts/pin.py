"""Fill unverified pins: read each real file once and write its commit, size and SHA-256.

    python scripts/pin.py NAME...

Needs a network. A branch in an address becomes the commit that it stands for now; pins that are
filled already are left alone. `python -m miniluotuo_utils catalog` lists the names.

In: names of cards. Out: the cards with their pins filled.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from tqdm.auto import tqdm

from miniluotuo_utils.data.catalog import CARDS
from miniluotuo_utils.data.download import (
    addresses,
    home,
    local,
    mirrored,
    npm,
    receive,
    receive_package,
)
from miniluotuo_utils.data.loading import loadable
from miniluotuo_utils.files import DataError, file_sha256, written_whole

API = "https://api.github.com"
COMMIT = re.compile(r"[0-9a-f]{40}")
HUB = re.compile(r"(https://huggingface\.co/.+/resolve/)([^/]+)(/.+)")
RAW = re.compile(r"(https://raw\.githubusercontent\.com/([^/]+/[^/]+)/)([^/]+)(/.+)")


def pin_card(name: str, folder: Path = CARDS) -> list[str]:
    """Fill every null pin of a card, write the card, and return what was filled, a line a file."""
    path = folder / f"{name}.json"
    if not path.is_file():
        loadable(name)  # says what is wrong with the name
        raise DataError(f"{path.name} is not in the folder of cards")

    value = json.loads(path.read_text(encoding="utf-8"))
    filled = []
    for pin in (pin for pins in value["splits"].values() for pin in pins):
        if pin["url"].startswith("package:") or (pin["bytes"] and pin["sha256"]):
            continue
        pin["url"] = at_commit(pin["url"])
        found = whole(pin["url"])
        pin["bytes"], pin["sha256"] = found.stat().st_size, file_sha256(found)
        file = Path(mirrored(pin["url"])).name
        filled.append(f"{file}: {pin['bytes']:,} bytes, sha256 {pin['sha256'][:12]}…")
    if filled:
        with written_whole(path) as partial:
            text = json.dumps(value, ensure_ascii=False, indent=1)
            partial.write_text(text + "\n", encoding="utf-8")
    return filled


def whole(url: str) -> Path:
    """Return the file of an address without a pin: downloaded anew, or where a person put it."""
    if url.startswith("manual:"):
        path = local({"url": url, "bytes": None, "sha256": None})
        if path is None:
            raise FileNotFoundError(
                f"{mirrored(url)} is neither in the mirror folder nor in the cache; "
                "put it there first"
            )
        return path
    target = home() / mirrored(url)
    # From the source itself, never from a mirror, whose copy may be an old one.
    with written_whole(target) as partial, tqdm(unit="B", unit_scale=True, leave=False) as bar:
        source = addresses(url)[-1]
        if npm(source):
            receive_package(source, partial)
        else:
            receive(source, partial, bar)
    return target


def at_commit(url: str) -> str:
    """Return a hub or GitHub address with the commit that its branch stands for now.

    >>> at_commit("manual:a/b.json")
    'manual:a/b.json'
    """
    import requests

    hub, raw = HUB.fullmatch(url), RAW.fullmatch(url)
    if hub and not COMMIT.fullmatch(hub[2]):
        answer = requests.head(addresses(url)[-1], allow_redirects=False, timeout=30)
        return hub[1] + commit_of(answer.headers.get("X-Repo-Commit", ""), url) + hub[3]
    if raw and not COMMIT.fullmatch(raw[3]):
        asked = f"{API}/repos/{raw[2]}/commits/{raw[3]}"
        answer = requests.get(asked, headers={"Accept": "application/vnd.github.sha"}, timeout=30)
        return raw[1] + commit_of(answer.text, url) + raw[4]
    return url


def commit_of(text: str, url: str) -> str:
    """Return the commit that a host answered; DataError where the answer is something else."""
    if not COMMIT.fullmatch(text.strip()):
        raise DataError(
            f"{url}: the host did not say which commit this is (found {text[:40]!r}); "
            "pin it by hand"
        )
    return text.strip()


def main(argv: list[str] | None = None) -> None:
    """Fill the pins of the cards named on the command line."""
    parser = argparse.ArgumentParser(
        prog="python scripts/pin.py", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("names", nargs="+", metavar="NAME", help="a data set of the catalog")
    for name in parser.parse_args(argv).names:
        try:
            filled = pin_card(name)
        except (ValueError, OSError) as error:
            sys.exit(f"error: {error}")
        print(f"{name}: {'; '.join(filled) or 'nothing to fill, every pin is there'}")


if __name__ == "__main__":
    main()
