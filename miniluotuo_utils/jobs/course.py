"""Fill one folder with what a class without a network needs: `download --course DIR`.

In: a clone, and a network. Out: the clone as a zip, the data of the notebooks, wheels, students
that the lecturer has trained, and a page that says how a pupil uses them. notebooks/TEACHING.md
shows it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from miniluotuo_utils.runtime import SCALES, commit, printed_by, repository, runs_root
from miniluotuo_utils.writing import FULL, Taken, written_whole

# What the notebooks read from the catalog at `cpu`, and what 07 puts beside a student.
DATA = ("alpaca-chinese", "cluener", "resume", "duie-sample", "fewfc", "gpt2-tokenizer")
DATA += ("browser-runtime",)
PAGE = "READ-ME-FIRST.md"
TITLE = "# 迷你骆驼：没有网络的教室 · Mini-Luotuo without a network"


def course(folder: Path, more: Sequence[str] = (), wheels: bool = True) -> Iterator[str]:
    """Yield one line for each part of the course once it is in `folder`.

    `more` are further data sets or students. What is there already is not fetched again, and no
    file that is there is replaced. A part that cannot be had does not stop the rest: at the end
    FileNotFoundError lists all of them, and the same call goes on with those. Raises OSError where
    the disk is full.
    """
    parts: dict[str, Callable[[], str]] = {"笔记本 notebooks": lambda: notebooks(folder)}
    for name in dict.fromkeys([*DATA, *more]):
        parts[name] = lambda name=name: fetched(name, folder)  # type: ignore[misc]
    for scale in SCALES:
        student = trained(scale)
        if student:
            parts[f"{scale} 的学生 student"] = lambda s=student, k=scale: shared(s, k, folder)  # type: ignore[misc]
    if wheels:
        parts["安装包 wheels"] = lambda: all_wheels(folder)

    missing = []
    for name, part in parts.items():
        try:
            yield f"{name}：{part()}"
        except (OSError, ValueError) as error:
            # On a full disk each further part would fail, and say so in words of its own.
            if getattr(error, "errno", None) in FULL:
                raise
            missing.append(f"{name}：{error}")

    # The page comes last: it names what is there.
    yield f"{PAGE}：{instructions(folder)}"
    if missing:
        raise FileNotFoundError(
            "\n  ".join(
                [
                    f"还缺 {len(missing)} 样，再运行一次只补这些 "
                    f"{len(missing)} parts are missing; the same command goes on with them:",
                    *missing,
                ]
            )
        )


def notebooks(folder: Path) -> str:
    """Put the committed state of the clone into `folder` as a zip, and say which."""
    root, name = repository(), commit()
    if not (root and name):
        raise FileNotFoundError(
            "这里不是 git 克隆的仓库：在克隆里运行，或者从网页下载仓库的 ZIP 放进来 "
            "this is no git clone: run the command in one, or put the repository's ZIP there"
        )
    target = folder / f"Mini-Luotuo-{name}.zip"
    if not zipfile.is_zipfile(target):
        command = ["git", "archive", "--format=zip", "--prefix=Mini-Luotuo/", "HEAD"]
        done = subprocess.run(command, cwd=root, capture_output=True, check=False)
        if done.returncode:
            raise FileNotFoundError(done.stderr.decode("utf-8", "replace").strip()[-300:])
        # Whatever stands at that name and is no zip is somebody's own.
        with written_whole(target, overwrite=False) as partial:
            partial.write_bytes(done.stdout)
    changed = printed_by("git", "status", "--porcelain", "--untracked-files=no", folder=root)
    words = "；没有提交的改动不在里面 without changes that are not committed" if changed else ""
    return f"{target.name}{words}"


def fetched(name: str, folder: Path) -> str:
    """Fetch a data set, or a student of the zoo, into `folder`, and say how many files it has."""
    from miniluotuo_utils.data.download import copy_into_mirror
    from miniluotuo_utils.data.loading import files, loadable
    from miniluotuo_utils.students.loading import copy_into_mirror as copy_student
    from miniluotuo_utils.students.zoo import ZOO

    if name in ZOO:
        return f"学生 student {copy_student(name, folder).name}"
    card = loadable(name)
    files(name)
    copy_into_mirror(card.pins, folder)
    return f"{len(card.pins)} 个文件，{card.state} {len(card.pins)} files"


def trained(scale: str) -> Path | None:
    """Return the student that the lecturer trained with notebook 04 at a scale, if there is one."""
    found = runs_root() / scale / "students" / "student"
    return found if (found / "run.json").is_file() else None


def shared(student: Path, scale: str, folder: Path) -> str:
    """Copy a trained student to where the class finds it (`trained_student`), and say where."""
    target = folder / "runs" / scale / "students" / "student"
    words = f"全班共用 for the class: runs/{scale}/students/student"
    if target.is_dir():
        note = target / "run.json"
        if note.is_file() and note.read_bytes() == (student / "run.json").read_bytes():
            return words
    # A newer one of the lecturer's takes the place of an older one, of nothing else.
    with written_whole(target) as partial:
        shutil.copytree(student, partial)
    return words


def all_wheels(folder: Path) -> str:
    """Put the wheels of this system and Python into `folder`, and say how many."""
    root = repository()
    script = root / "scripts" / "install.py" if root else None
    if not (script and script.is_file()):
        raise FileNotFoundError(
            "要在克隆的仓库里运行 only in a clone, where requirements.txt says what is needed"
        )
    folder.mkdir(parents=True, exist_ok=True)
    # In UTF-8 on every system, so that what pip says is read as it was written.
    done = subprocess.run(
        [sys.executable, "-X", "utf8", str(script), "--wheels", str(folder.resolve())],
        cwd=root,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise FileNotFoundError(done.stderr.strip().rpartition("error: ")[2][-500:])
    return done.stdout.strip()


def instructions(folder: Path) -> str:
    """Write the page that a pupil reads, and return what it is about.

    Raises Taken for a page of that name that is not ours.
    """
    page = folder / PAGE
    if page.exists() and not page.read_text(encoding="utf-8", errors="replace").startswith(TITLE):
        raise Taken(f"{PAGE} 已经有了，不是我们写的 is there and not ours: move it elsewhere")
    zips = sorted(folder.glob("Mini-Luotuo-*.zip"), key=lambda path: path.stat().st_mtime)
    systems = []
    for note in sorted((folder / "wheels").glob("*.json")):
        count = len(json.loads(note.read_text(encoding="utf-8"))["wheels"])
        systems.append(f"{note.stem} ({count})")
    text = TEXT.format(
        title=TITLE,
        zip=zips[-1].name if zips else "Mini-Luotuo.zip",
        systems=", ".join(systems) or "— (没有 none)",
        students=", ".join(p.parent.parent.name for p in folder.glob("runs/*/students/student"))
        or "—",
    )
    with written_whole(page) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
    return "学员怎么用 how a pupil uses it"


TEXT = """{title}

需要 Python 3.11 到 3.13（这个文件夹里没有，装机时从 python.org 下载）。
*Needs Python 3.11 to 3.13, which is not in this folder: python.org has it.*

- 安装包 wheels：{systems}
- 全班共用的学生 students of the class：{students}

把 `DIR` 换成这个文件夹的完整路径，U 盘、共享盘、复制到本地都行。只读也行。
*Put the whole path of this folder for `DIR`: a stick, a network drive or a copy; it may be
read-only.*

## Linux, macOS

```bash
export MINILUOTUO_MIRROR=DIR
unzip "$MINILUOTUO_MIRROR/{zip}" -d ~
cd ~/Mini-Luotuo
python3 scripts/install.py .venv
.venv/bin/jupyter lab notebooks
```

## Windows

先把 {zip} 解压到一个短路径，比如 D:\\Mini-Luotuo，再打开“命令提示符”（cmd）。
*Unpack the zip to a short path first, then open a command prompt (cmd).*

```bat
set MINILUOTUO_MIRROR=DIR
cd /d D:\\Mini-Luotuo
py scripts\\install.py .venv
.venv\\Scripts\\jupyter lab notebooks
```

`MINILUOTUO_MIRROR` 一个变量管三件事：装包、读数据、找全班共用的学生。每次打开新窗口都要再设一次。
*This one variable serves installation, data and the class's student. Set it in each new window.*
"""
