"""Read a teacher's address: where questions go, what of it may be shown, what is secret in it.

In: a base URL as people copy it out of a manual. Out: the URL that is asked, and the one that
messages and the store name. Shown in notebook 02.
"""

import re
from urllib.parse import parse_qsl, urljoin, urlsplit, urlunsplit

EXAMPLE = "https://api.deepseek.com/v1"
ASKED = "/chat/completions"
SECRET = re.compile("key|token|secret|sig|pass|pwd|auth", re.IGNORECASE)  # names in a query
QUERY = re.compile(r"(https?://[^\s?'\"<>]*)\?[^\s'\"<>]*")
STANDARD = {"http": 80, "https": 443}


def checked_address(url: str) -> str:
    """Return a base URL without slashes and the name of the service at its end.

    A query, as some servers want one, stays. ValueError for one that cannot be asked; it shows
    nothing that may be secret.

    >>> checked_address("https://h/v1/chat/completions/?api-version=3#top")
    'https://h/v1?api-version=3'
    """
    try:
        place = urlsplit(url)
        good = place.scheme in STANDARD and place.hostname and place.port != 0
    except ValueError:  # half a bracket, or a port that is none
        place, good = None, False
    if not good:
        raise ValueError(
            f"TEACHER_BASE_URL: found {bare(url)!r}, expected http:// or https://, a host and a "
            f"path, for example {EXAMPLE}"
        )
    if place.username is not None:
        raise ValueError(
            f"TEACHER_BASE_URL: {bare(url)} 里写着用户名（和密码），教师用不上；密钥放进 "
            "TEACHER_API_KEY。 It holds a user's name, which a teacher cannot use: write the "
            "address without it, and the key into TEACHER_API_KEY"
        )
    path = place.path.rstrip("/").removesuffix(ASKED).rstrip("/")
    return urlunsplit((place.scheme, place.netloc, path, place.query, ""))


def endpoint(base: str) -> str:
    """Return the URL that questions are posted to.

    >>> endpoint("https://h/v1?api-version=3")
    'https://h/v1/chat/completions?api-version=3'
    """
    place = urlsplit(base)
    return urlunsplit(place._replace(path=place.path + ASKED))


def server_of(base: str) -> str:
    """Return what the store knows a server by: its address without what may be secret in it.

    >>> server_of("HTTPS://Host/v1?key=x")
    'https://host/v1'
    """
    place = urlsplit(base)
    return urlunsplit((place.scheme.lower(), place.netloc.lower(), place.path, "", ""))


def shown(text: str) -> str:
    """Return a text, its addresses without user, password and query.

    >>> shown("no answer from http://me:word@h/v1?key=x (http://h/v1)")
    'no answer from http://h/v1 (http://h/v1)'
    """
    return QUERY.sub(r"\1", re.sub(r"://[^\s/?#]*@", "://", text))


def bare(url: str) -> str:
    """Return one address, however it is written, without user, password and query.

    >>> bare("me:word@h/v1?key=x"), bare("htps://me:wo/rd@h/v1"), bare("h/v1？key=x")
    ('h/v1', 'htps://h/v1', 'h/v1')
    """
    # Better half an address is shown than half a password: whatever stands before an @ goes.
    return re.sub(r"^([\w.+-]+:/+)?.*@", r"\1", re.split("[?？]", url)[0], flags=re.DOTALL)


def secrets_in(base: str) -> list[str]:
    """Return what is secret in the query of an address.

    >>> secrets_in("https://h/v1?api-version=3&key=word")
    ['word']
    """
    return [value for name, value in parse_qsl(urlsplit(base).query) if SECRET.search(name)]


def onward(url: str, location: str | None) -> str | None:
    """Return where a redirect leads if that is the same server, None for any other place.

    From http to https is the same; the way back would show the key to the network.

    >>> onward("http://h/v1/x", "https://h/v1/x"), onward("https://h/v1/x", "/v2/x")
    ('https://h/v1/x', 'https://h/v2/x')
    >>> onward("https://h/v1", "http://h/v1"), onward("https://h/v1", "https://evil/v1")
    (None, None)
    """
    try:
        target = urljoin(url, location or "")
        old, new = (
            (place.scheme, place.hostname, place.port or STANDARD.get(place.scheme))
            for place in (urlsplit(url), urlsplit(target))
        )
    except ValueError:
        return None
    upgraded = old[::2] == ("http", 80) and new == ("https", old[1], 443)
    return target if location and (new == old or upgraded) else None
