"""Publish a student, an adapter or a data set on the hub; without `go` only say what would go.

In: a folder that `save`, `train`, `publish` or `instructions` wrote. Out: one commit, whole or not
at all, with a card. Shown in notebook 07 and jobs/README.md.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.choices import check_choice
from miniluotuo_utils.data.anyfile import read_any
from miniluotuo_utils.data.licences import FOLLOWS, Origin, origins, refused, strictest
from miniluotuo_utils.students.bases import check_weights
from miniluotuo_utils.students.loading import HUB_ID, adapter_base
from miniluotuo_utils.students.model_card import card, student_origins

if TYPE_CHECKING:
    from huggingface_hub import HfApi

WORDS = {"student": "学生", "adapter": "适配器", "dataset": "数据集"}
KINDS = tuple(WORDS)
# What is published of a folder: data that nobody's machine runs.
ENDINGS = (
    *(".safetensors", ".json", ".jsonl", ".txt", ".model", ".jinja", ".md", ".png", ".parquet"),
    *(".gguf", ".onnx"),
)
WEIGHTS = (".safetensors", ".gguf", ".onnx")
OLLAMA = "Modelfile"  # what stands beside a .gguf
TRAIN = ("train.parquet", "train.jsonl")
ROWS = (".parquet", ".jsonl")
CARD = "README.md"


@dataclass(frozen=True)
class Parcel:
    """What would be published: its kind, the text of its card, its files, its sources."""

    folder: Path
    repo: str
    kind: str
    card: str
    files: Sequence[Path]
    left: Sequence[Path]
    found: Sequence[Origin]
    refused: Sequence[Origin]

    @property
    def size(self) -> int:
        """Bytes of all files, the card among them."""
        return sum(path.stat().st_size for path in self.files) + len(self.card.encode())


def push(
    folder: Path | str,
    repo: str,
    kind: str | None = None,
    *,
    go: bool = False,
    public: bool = False,
    results: Mapping[str, Mapping] | None = None,
    own: Collection[str] = (),
    accept: Collection[str] = (),
    overwrite: bool = False,
    say: Callable[[str], object] = print,
) -> Parcel:
    """Publish `folder` as `repo` (OWNER/NAME); `say` is told all that goes, before it goes.

    `kind` is student, adapter or dataset; None: what the folder holds. Without `go` nothing leaves
    this machine. The repository is made private, unless `public`. The token is HF_TOKEN, of the
    environment or of Colab's secrets. `results`, `own` and `accept` are those of `card`, `origins`
    and `refused`. A repository that holds other files already stays as it is, unless `overwrite`.

    Raises ValueError for a folder that is none of these, a licence that forbids it, a name that is
    no hub id; OSError, in one sentence, for what the hub or the network refuses. Called again after
    that, it goes on: what the hub has is not sent twice, and nothing shows before all is there.
    """
    parcel = packed(Path(folder), repo, kind, results, own, accept)
    for line in told(parcel):
        say(line)
    if go and parcel.refused:
        raise ValueError(refusal(parcel))
    say(refusal(parcel) if parcel.refused else allowed(parcel, accept))
    say(sent(parcel, token_of(), public, overwrite) if go else WAITING)
    return parcel


WAITING = "没有上传，加上 --go 才传。 Nothing was uploaded: --go does it (in Python: go)"


def packed(
    folder: Path,
    repo: str,
    kind: str | None,
    results: Mapping[str, Mapping] | None,
    own: Collection[str],
    accept: Collection[str],
) -> Parcel:
    """Return what would be published of a folder, read and judged on this machine."""
    check_name(repo)
    kind = kind_of(folder, kind)
    every = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != CARD)
    files = [path for path in every if goes(path, folder)]
    left = [path for path in every if path not in files]

    # What it was made of decides whether it may go.
    if kind == "dataset":
        text, found = dataset_parts(folder, files, own)
    else:
        check_alone(folder, kind)
        text, found = str(card(folder, results, own)), student_origins(folder, own)
    check_secrets(text, files)
    what = "rows" if kind == "dataset" else "weights"
    return Parcel(folder, repo, kind, text, files, left, found, refused(found, what, accept))


def check_name(repo: str) -> None:
    """Raise ValueError for what the hub does not take as the name of a repository."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(repo)
        good = HUB_ID.fullmatch(repo) and repo.isascii()
    except HFValidationError:
        good = False
    if not good:
        raise ValueError(
            f"{repo!r} 不是 hub 上的名字，写成 用户名/名字。 found {repo!r}, expected OWNER/NAME, "
            "in letters, digits, - _ ."
        )


# What no publisher wants to have published: the hub's tokens, and what stands in these variables.
TOKEN = re.compile(rb"hf_[A-Za-z0-9]{30,}")
SECRETS = ("HF_TOKEN", "TEACHER_API_KEY")
SHORTEST = 8  # characters of a secret: a shorter one may be a word
TEXTS = (".json", ".jsonl", ".txt", ".jinja", ".md")


def check_secrets(text: str, files: Sequence[Path]) -> None:
    """Raise ValueError where the card, or a text that goes, holds a token or a key."""
    mine = [value for name in SECRETS if len(value := os.environ.get(name, "").strip()) >= SHORTEST]
    secret = re.compile(b"|".join([TOKEN.pattern, *(re.escape(one.encode()) for one in mine)]))
    if secret.search(text.encode()):
        raise secret_in(CARD)
    for path in files:
        if path.suffix in TEXTS:
            with open(path, "rb") as file:
                if any(secret.search(line) for line in file):
                    raise secret_in(path.name)


def secret_in(name: str) -> ValueError:
    """Return the error of a file that holds a token or a key, which it does not repeat."""
    return ValueError(
        f"{name} 里有一个令牌或密钥，不能发布：删掉它，给人看过就换一个。 {name}: found a "
        "token or a key, expected none: delete it, and make a new one if others saw it"
    )


def kind_of(folder: Path, asked: str | None = None) -> str:
    """Return what a folder holds; ValueError where it is none of `KINDS`, or not the one asked."""
    marks = {"adapter": "adapter_config.json", "student": "config.json"}
    held = [kind for kind, mark in marks.items() if (folder / mark).is_file()]
    held += ["dataset"] if any((folder / name).is_file() for name in TRAIN) else []
    if asked is not None:
        check_choice("kind", asked, KINDS)
    if held and asked in (None, held[0]):
        return held[0]
    nothing = "nothing of these" if folder.is_dir() else "no such folder"
    seen = held[0] if held else nothing
    raise ValueError(
        f"{folder.name} 里没有{WORDS.get(asked, '学生、适配器或者数据集')}，发布不了。 "
        f"{folder.name}: found {seen}, expected {asked or 'a student, an adapter or a data set'}: "
        f"config.json, adapter_config.json or {' or '.join(TRAIN)}"
    )


def goes(path: Path, folder: Path) -> bool:
    """Return whether a file is published: no link, not hidden, no code, no pickle, not empty."""
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    kept = path.suffix in ENDINGS or path.name == OLLAMA
    return kept and not (hidden or path.is_symlink()) and path.stat().st_size > 0


def check_alone(folder: Path, kind: str) -> None:
    """Raise ValueError for a folder that is no use to others.

    Its weights lack, are damaged, or are old ones that anything could hide in; or it is an adapter
    whose base only this machine has.
    """
    check_weights(folder)
    if not any(path.suffix in WEIGHTS for path in folder.rglob("*")):
        old = any(path.suffix in (".bin", ".pt") for path in folder.iterdir())
        found = "old weights, which may hold code" if old else "no weights"
        raise ValueError(
            f"{folder.name} 里没有可以发布的权重：用 load_student 读，用 save 存。 "
            f"{folder.name}: found {found}, expected {', '.join(WEIGHTS)}: load_student the folder "
            "and save the student into a new one"
        )
    if kind == "adapter" and adapter_base(folder).startswith("./"):
        raise ValueError(
            f"{folder.name} 的底座是旁边的文件夹，别人没有：先用 merge 合并，再发布合并出来的。 "
            f"{folder.name}/adapter_config.json, field base_model_name_or_path: found "
            f"{adapter_base(folder)!r}, a folder that nobody else has: `merge` it and push what "
            "that writes"
        )


def dataset_parts(
    folder: Path, files: Sequence[Path], own: Collection[str]
) -> tuple[str, list[Origin]]:
    """Return a data set's card and its sources, counted in all rows that go; ValueError without."""
    path = folder / CARD
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if not text.strip():
        raise ValueError(
            f"{folder.name} 里没有数据卡 {CARD}：用 publish 或 instructions 来写。 {folder.name}: "
            f"found no {CARD}, expected a card: `publish` and `instructions` write one"
        )
    counts: Counter[str] = Counter()
    for rows in (one for one in files if one.suffix in ROWS):
        reading = read_any(rows, say=None)
        if not sum(1 for _ in reading):
            raise ValueError(no_rows(rows))
        counts.update(reading.sources)
    # One of no bytes does not go, so it was not read.
    if not counts:
        raise ValueError(no_rows(next(folder / one for one in TRAIN if (folder / one).is_file())))
    return text, origins(counts, own)


def no_rows(path: Path) -> str:
    """Say that a data set holds nothing."""
    name = f"{path.parent.name}/{path.name}"
    return (
        f"{name} 里一行也没有，没有可以发布的。 {name}: found no rows, expected one or more: write "
        "the data set again"
    )


# ---- in words


def told(parcel: Parcel) -> list[str]:
    """Return what would go, a line each: files, bytes, sources, the strictest terms."""
    # What leaves the machine, file by file: nobody should find a surprise on the hub.
    lines = [f"{parcel.folder.name} → {parcel.repo}（{WORDS[parcel.kind]} {parcel.kind}）"]
    lines += [
        f"  {path.relative_to(parcel.folder).as_posix()} {path.stat().st_size:,}"
        for path in parcel.files
    ]
    lines.append(f"  {CARD} {len(parcel.card.encode()):,}（卡片 its card）")
    lines.append(f"一共 {parcel.size:,} 字节 bytes")
    if parcel.left:
        names = ", ".join(path.relative_to(parcel.folder).as_posix() for path in parcel.left[:8])
        lines.append(f"留下不发 {len(parcel.left)} 个 left out: {names}")

    # Whose data it was made of, and what they ask.
    for one in parcel.found:
        rows = "底座、教师 base, teacher" if one.rows is None else f"{one.rows:,} 行 rows"
        lines.append(f"来源 source {one.name}：{rows}，{one.licence}")
    most = strictest(parcel.found)
    return [*lines, f"最严 strictest {most.name}：{FOLLOWS[most.terms]}"]


def allowed(parcel: Parcel, accept: Collection[str]) -> str:
    """Return that nothing forbids it, or for which sources the publisher answers."""
    mine = [one.name for one in parcel.found if one.terms in accept]
    if not mine:
        return "许可证允许发布。 The licences allow it"
    names = ", ".join(mine)
    return f"发布者说有许可：{names}。 The publisher says to have permission for {names}"


def refusal(parcel: Parcel) -> str:
    """Return which sources forbid it, and what can be done for each."""
    said = "; ".join(f"{one.name}: {one.licence}" for one in parcel.refused)
    strange = [one.name for one in parcel.refused if not one.known]
    known = sorted({one.terms for one in parcel.refused if one.known} - {"restricted"})
    ways = ["去掉这些来源 leave these sources out"]
    if strange:
        ways.append(f"是你自己的 if yours: own=…（{' '.join(strange)}）")
    if known:
        ways.append(f"有人准许 if you have permission: accept=…（{', '.join(known)}）")
    return f"许可证不允许发布 not to be published（{said}）。{'；'.join(ways)}"


# ---- the hub


def token_of() -> str:
    """Return HF_TOKEN, of the environment or of Colab's secrets; ValueError without it.

    What `hf auth login` left on the disk is not used: on a shared machine it may be another's.
    """
    token = os.environ.get("HF_TOKEN", "").strip() or colab_secret()
    if not token:
        raise ValueError(
            "没有 HF_TOKEN：在 hub 的设置页做一个能写的令牌，放进环境变量，Colab 里放进“密钥”。 "
            "No HF_TOKEN: make a token that may write on the hub's settings page, and put it into "
            "the environment variable HF_TOKEN, on Colab into the secrets"
        )
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ValueError(
            "HF_TOKEN 里有空格或者别的字，不是令牌：从 hub 的设置页重新拷一个。 HF_TOKEN: found "
            "blanks or characters that no token has: copy it again from the hub's settings page"
        )
    return token


def colab_secret() -> str:
    """Return the secret HF_TOKEN of a Colab notebook, "" elsewhere or where it is withheld."""
    try:
        from google.colab import userdata

        return str(userdata.get("HF_TOKEN") or "").strip()
    except Exception:  # no Colab, no such secret, not granted: each an error of its own
        return ""


def sent(parcel: Parcel, token: str, public: bool, overwrite: bool) -> str:
    """Upload a parcel in one commit and return where it is; OSError for what was refused.

    What an earlier parcel left there goes in the same commit: whoever loads `model.safetensors`
    must not get the old one beside the new one's parts.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.errors import HTTPError

    # The card is made here, the rest is read from the disk.
    kind = "dataset" if parcel.kind == "dataset" else "model"
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, token=token)
    adds = [
        CommitOperationAdd(path.relative_to(parcel.folder).as_posix(), path)
        for path in parcel.files
    ]
    adds.append(CommitOperationAdd(CARD, parcel.card.encode()))
    try:
        created(api, parcel.repo, kind, public)
        there = {*api.list_repo_files(parcel.repo, repo_type=kind)} - {".gitattributes"}
        if there and not overwrite:
            raise full(parcel.repo, there)
        # The large files go first, and each that arrived is not sent again; then one commit.
        new = {add.path_in_repo for add in adds}
        old = [name for name in sorted(there - new) if replaced(name)]
        operations = [*adds, *map(CommitOperationDelete, old)]
        done = api.create_commit(
            parcel.repo, operations, commit_message="Uploaded by Mini-Luotuo", repo_type=kind
        )
    except (HTTPError, ConnectionError, RuntimeError) as error:
        raise failed(error, parcel.repo) from error
    gone = f"；换下的旧文件 old files, now in its history: {', '.join(old)}" if old else ""
    return f"上传好了 uploaded: {done.commit_url}{gone}"


def replaced(name: str) -> bool:
    """Return whether a file of the hub's belongs to what is pushed; pages and pictures stay.

    >>> replaced("model-00001-of-00002.safetensors"), replaced("pytorch_model.bin")
    (True, True)
    >>> replaced("curve.png"), replaced("LICENSE")
    (False, False)
    """
    ending = Path(name).suffix
    return ending == ".bin" or (ending in ENDINGS and ending not in (".md", ".png", ".txt"))


def created(api: HfApi, repo: str, kind: str, public: bool) -> None:
    """Make a repository, unless it is there; OSError where it is in the way of another."""
    try:
        api.create_repo(repo, repo_type=kind, private=not public, exist_ok=True)
    except KeyError:  # the library takes any HTTP 409 for "it is there", with its address
        raise OSError(f"{repo}：{REASONS[409]} (HTTP 409)。{AGAIN}") from None


def full(repo: str, there: Collection[str]) -> ValueError:
    """Return the error of a repository that holds something already."""
    return ValueError(
        f"{repo} 里已经有 {len(there)} 个文件：换个名字；要换掉，加上 --overwrite，旧的留在它的历史"
        "里；上次断在最后一步的话，其实已经传好了。 "
        f"{repo} holds {len(there)} files already, {min(there)} among them: choose another name, "
        "or replace them with --overwrite (in Python the argument overwrite), they stay in its "
        "history. If the last run broke in its last step, all is there"
    )


REASONS = {
    401: "令牌不对或者过期了 the token is wrong or has expired: make a new one",
    403: "这个令牌不许写到那里 the token may not write there: look at its permissions",
    404: "没有这个用户或组织 there is no such owner, or the token may not see it",
    409: "同时有别人在写 somebody else writes there now: run it again",
    413: "文件太大 a file is too large for the hub",
    429: "请求太多 too many requests: wait some minutes",
}
AGAIN = (
    "hub 上看不到半个：再运行一次就接着传。 Nothing half-uploaded shows: run it again, it goes on"
)


def failed(error: BaseException, repo: str) -> OSError:
    """Return in one sentence why an upload failed, and what to do; never with the token in it."""
    cause: Any = error
    while getattr(cause, "response", None) is None and cause.__cause__ is not None:
        cause = cause.__cause__
    status = getattr(getattr(cause, "response", None), "status_code", None)
    if type(cause).__name__ == "OfflineModeIsEnabled":
        why = "HF_HUB_OFFLINE=1 关了网络 keeps this session off the network"
    elif status is None:
        why = f"连不上，或者断了 no connection, or it broke ({type(cause).__name__})"
    elif status >= 500:
        why = f"hub 出了问题 the hub has a problem (HTTP {status})"
    else:
        why = f"{REASONS.get(status, server_words(cause))} (HTTP {status})"
    return OSError(f"{repo}：{why}。{AGAIN}")


def server_words(error: Any) -> str:
    """Return what the hub said, without anything that looks like a token."""
    said = str(getattr(error, "server_message", None) or error).strip().splitlines()[-1:]
    return re.sub(r"hf_\w+", "hf_…", " ".join(said)) or type(error).__name__
