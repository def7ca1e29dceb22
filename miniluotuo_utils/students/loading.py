"""Load a student: by zoo name, from a local folder or from the hub. Shown in notebooks 00 and 04.

In: a name. Out: a `Student`: model and tokenizer that belong together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.choices import choices
from miniluotuo_utils.files import DataError, json_file
from miniluotuo_utils.runtime import mirror
from miniluotuo_utils.students.bases import (
    base_note,
    check_base,
    check_weights,
    weights_fingerprint,
)
from miniluotuo_utils.students.devices import own_device, quiet
from miniluotuo_utils.students.lessons import lessons_in
from miniluotuo_utils.students.successors import check_id, instead
from miniluotuo_utils.students.zoo import ZOO
from miniluotuo_utils.tokens.template import say_template

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
# Tokens: the length that T5, whose relative positions have no limit, was pretrained on.
UNSTATED = 512
SAMPLED = 1024  # numbers of each weight that tell one student from another


@dataclass
class Student:
    """A model and its tokenizer.

    `name` is the zoo name or hub id that an adapter writes down as its base. `weights` is the
    fingerprint of the folder that the base came from, "" once its weights differ from that,
    `origin` the same for ever, and `revision` the commit of a hub model. `lessons` are its
    trainings (`lessons.note_lesson`), which `save` writes down.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    weights: str = ""
    revision: str | None = None
    origin: str = ""
    lessons: list[dict] = field(default_factory=list)

    @property
    def context(self) -> int:
        """How many tokens fit: prompt and answer together, or each of them for an encoder–decoder.

        What the configuration says (`stated_context`), else the tokenizer's `model_max_length`,
        else the zoo's number, else 512 for relative positions, which have no limit.
        """
        if found := stated_context(self.model.config):
            # Learned tokens before the prompt take places.
            adapter = getattr(self.model, "peft_config", {}).get("default")
            return found - (getattr(adapter, "num_virtual_tokens", None) or 0)

        # transformers writes 1e30 for "nothing stated".
        told = getattr(self.tokenizer, "model_max_length", None)
        if told and told < 1e9:
            return int(told)
        return ZOO[self.name].context if self.name in ZOO else UNSTATED

    @property
    def encoder_decoder(self) -> bool:
        """Whether the prompt goes through an encoder (T5) and not before the answer."""
        return bool(self.model.config.is_encoder_decoder)

    @property
    def is_adapter(self) -> bool:
        """Whether the model is a base with a PEFT adapter on it."""
        return hasattr(self.model, "peft_config")

    @property
    def parameters(self) -> int:
        """Number of parameters; 4-bit weights, which are packed, are counted unpacked."""
        return self.model.num_parameters()


def stated_context(config: PreTrainedConfig) -> int | None:
    """Return the tokens that a configuration has room for (`max_position_embeddings`,
    `n_positions`, BLOOM's `seq_length`), None where it states none.
    """
    names = ("max_position_embeddings", "n_positions", "seq_length")
    found = (getattr(config, name, None) for name in names)
    return next((number for number in found if isinstance(number, int)), None)


def fingerprint(student: Student) -> str:
    """Return what tells one student from another, as a short hash: some numbers of every weight,
    their types, and the vocabulary.
    """
    digest = sha256(json.dumps(sorted(student.tokenizer.get_vocab().items())).encode())
    for name, weight in sorted(student.model.state_dict().items()):
        digest.update(f"{name} {tuple(weight.shape)} {weight.dtype}".encode())
        numbers = weight.detach().flatten()[:: max(1, weight.numel() // SAMPLED)]
        digest.update(numbers.float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def load_student(
    name: str | Path,
    device: str | None = None,
    dtype: str = "float32",
    bits: int | None = None,
    revision: str | None = None,
) -> Student:
    """Load a student by zoo name, folder (whole model or adapter) or hub id, ready to generate.

    Only architectures that are part of transformers are loaded, no downloaded code is run, and old
    `.bin` weights are read as tensors only (transformers' `weights_only`). A hub model stands in
    the folder `MINILUOTUO_MIRROR`, laid out as the hub serves it
    (`huggingface.co/<id>/resolve/<revision or main>/`), else in the hub's cache, else it is
    downloaded. A mirror site is given as `HF_ENDPOINT`, since huggingface_hub asks it for headers
    that a plain file server does not send.

    `bits=4` loads in 4-bit NF4, `bits=8` in 8 bits (both need bitsandbytes). `revision` is a
    commit of a hub model, by default the one that the zoo pins, else the newest; an adapter's base
    is loaded by the revision that its folder notes. Raises
    FileNotFoundError for what is not there or cannot be had, ValueError for an architecture that
    transformers does not know.
    """
    folder = Path(name)
    if (folder / "adapter_config.json").is_file():
        return load_adapter(folder, device, dtype, bits)

    # Whatever the name, it is one folder or one commit of the hub.
    source, revision = located(name, revision)
    tokenizer, model = loaded(source, revision, dtype, placement(device, dtype, bits))
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    if device and bits is None:
        model = model.to(device)
    from miniluotuo_utils.students.products import multiply_in_float32

    multiply_in_float32(model)

    # An adapter beside a folder names it relatively: both move to another machine together.
    local = folder.is_dir() and str(name) not in ZOO
    called = f"./{folder.resolve().name}" if local else str(name)
    say_template(called, tokenizer)
    read = folder_of(source, revision)
    commit = revision_of(name, read)
    weights = weights_fingerprint(read)
    return Student(called, model.eval(), tokenizer, weights, commit, weights, lessons_in(read))


def folder_of(source: str, revision: str | None) -> Path:
    """Return the folder that holds what `loaded` read: `source` itself, or the hub's cache."""
    from transformers.utils import cached_file

    if Path(source).is_dir():
        return Path(source)
    return Path(cached_file(source, "config.json", revision=revision)).parent


def revision_of(name: str | Path, read: Path) -> str | None:
    """Return the commit of a hub model that was read from a folder, None where nothing says it.

    The zoo pins it, or the hub's cache calls the folder by it.

    >>> revision_of("somebody/model", Path("models--somebody--model/snapshots/0123abcd"))
    '0123abcd'
    """
    cached = read.name if read.parent.name == "snapshots" else None
    return cached or (ZOO[str(name)].revision if str(name) in ZOO else None)


def located(name: str | Path, revision: str | None = None) -> tuple[str, str | None]:
    """Return what transformers is to load, a folder or a hub id, and the revision of a hub id.

    A mirror folder without the `revision` asked for gives what it has.

    Raises FileNotFoundError for a folder that is not there or is no student, ValueError for an id
    whose code would have to be trusted.
    """
    folder, spec = Path(name), ZOO.get(str(name))
    if spec and not spec.hub:
        return spec.source, None
    if spec or (HUB_ID.fullmatch(str(name)) and not folder.is_dir()):
        hub, pinned = (spec.hub, spec.revision) if spec else (str(name), None)
        # Before minutes of downloading.
        check_id(hub)
        wanted = revision or pinned
        mirrored = mirror_folder(hub, wanted) or mirror_folder(hub, pinned)
        return (str(mirrored), None) if mirrored else (hub, wanted)
    if (folder / "config.json").is_file():
        return str(folder), None

    # A person's own folder, then, or a name that nothing has.
    advice = (
        f"run notebook 04 first, or name a student of the zoo: {choices(folder.name, ZOO)}"
        "（没有这个学生：先跑 04，或者写名册里的名字）"
    )
    if not folder.is_dir():
        raise FileNotFoundError(f"no student folder {folder.name}; {advice}")
    raise FileNotFoundError(
        f"{folder.name}: found no config.json or adapter_config.json in this folder, "
        f"expected a student; {advice}"
    )


def mirror_folder(hub: str, revision: str | None) -> Path | None:
    """Return the folder of a hub model in a mirror folder (`MINILUOTUO_MIRROR`), None where it is
    not there.
    """
    place = mirror()
    folder = place_in_mirror(Path(place).expanduser(), hub, revision)
    return folder if place and "://" not in place and (folder / "config.json").is_file() else None


def place_in_mirror(mirror: Path, hub: str, revision: str | None) -> Path:
    """Return where a hub model stands in a mirror folder.

    >>> place_in_mirror(Path("stick"), "google/mt5-small", None).as_posix()
    'stick/huggingface.co/google/mt5-small/resolve/main'
    """
    return mirror / "huggingface.co" / hub / "resolve" / (revision or "main")


def loaded(
    source: str, revision: str | None, dtype: str, how: Mapping[str, Any]
) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    """Load tokenizer and model of a folder or hub id.

    Raises FileNotFoundError, in one sentence, for a hub id that cannot be had and a folder that
    lacks a file; DataError for files that are damaged, or of two models.
    """
    try:
        config = native_config(source, revision)
        auto = writer_of(config, Path(source).name)
        side = "right" if config.is_encoder_decoder else "left"
        tokenizer = tokenizer_in(source, revision, side)
        # Of a hub's model, what lacks is fetched now.
        if Path(source).is_dir():
            check_weights(Path(source))
        model = model_in(source, revision, auto, {"dtype": dtype, **how})
    except OSError as error:
        raise FileNotFoundError(missing(source, revision, error)) from error

    # BERT's vocabulary has no other end; where nothing pads, the end does.
    if tokenizer.eos_token_id is None and tokenizer.sep_token is not None:
        tokenizer.eos_token = tokenizer.sep_token
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer, model


def tokenizer_in(source: str, revision: str | None, side: str) -> PreTrainedTokenizerBase:
    """Load a tokenizer; DataError where it cannot be read, or has no vocabulary of its own."""
    from transformers import AutoTokenizer

    name = Path(source).name
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision, padding_side=side)
    except OSError:
        raise
    # A damaged tokenizer.json is a bare Exception, a missing one whatever its class fails on.
    except Exception as error:
        cause, *_ = str(error).strip().splitlines() or [type(error).__name__]
        raise unread_tokenizer(name, f"found one that cannot be read ({cause})") from error

    # Where its files are missing, transformers makes an empty one: every text would be no tokens.
    folder, own = folder_of(source, revision), tokenizer.vocab_files_names.values()
    files = dict.fromkeys(["tokenizer.json", *own])
    if own and not any((folder / file).is_file() for file in files):
        raise unread_tokenizer(name, f"found none of {', '.join(files)}")
    return tokenizer


def unread_tokenizer(name: str, found: str) -> DataError:
    """Return the error of a student whose tokenizer cannot be had."""
    return DataError(
        f"学生 {name} 没有能用的分词器：重新下载，或者从它的底座拷来。 student {name}, tokenizer: "
        f"{found}, expected a whole one: download the folder again, or copy its base's tokenizer"
    )


def model_in(source: str, revision: str | None, auto: Any, how: Mapping[str, Any]) -> Any:
    """Load a model; DataError for weights that are damaged or lack a part.

    transformers makes up what lacks, with random numbers and a remark.
    """
    from pickle import UnpicklingError

    from safetensors import SafetensorError

    # A weight of another shape is reported, with both shapes, and not only shown in a table.
    how = {"output_loading_info": True, "ignore_mismatched_sizes": True, **how}
    try:
        model, found = auto.from_pretrained(source, revision=revision, **how)
    except (SafetensorError, UnpicklingError, EOFError, KeyError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "PytorchStreamReader" not in str(error):
            raise
        cause = str(error).partition(". ")[0]
        raise unlike_weights(source, f"some that are damaged or cut ({cause})") from error
    # What would be random numbers.
    if other := sorted(found["mismatched_keys"]):
        name, there, wanted = other[0]
        raise unlike_weights(source, f"{name} of {tuple(there)}, expected {tuple(wanted)}")
    if lacking := sorted(found["missing_keys"]):
        raise unlike_weights(source, f"no {lacking[0]} (and {len(lacking) - 1} more)")
    return model


def unlike_weights(source: str, found: str) -> DataError:
    """Return the error of weights that are not those which the configuration asks for."""
    name = Path(source).name
    return DataError(
        f"学生 {name} 的权重和 config.json 对不上，或者断了：重新下载，两样要是同一个模型的。 "
        f"student {name}, weights: found {found}; expected all that its config.json asks for: "
        "download it again, both files of one model"
    )


def native_config(source: str, revision: str | None) -> PreTrainedConfig:
    """Load the configuration; ValueError for a model type that only downloaded code could run."""
    from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig

    if (file := Path(source) / "config.json").is_file():
        json_file(file, dict)
    # Asked before AutoConfig, which would offer to run that code.
    found = PreTrainedConfig.get_config_dict(source, revision=revision)[0].get("model_type")
    if found not in CONFIG_MAPPING:
        raise ValueError(
            f"{Path(source).name}/config.json, field model_type: found {found!r}, "
            "expected an architecture that is part of transformers; "
            f"code from a model's repository is never run here.{instead(found)}"
        )
    return AutoConfig.from_pretrained(source, revision=revision)


def writer_of(config: PreTrainedConfig, name: str) -> Any:
    """Return transformers' class for a model that writes; ValueError for one that does not."""
    from transformers import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
        AutoModelForCausalLM,
        AutoModelForSeq2SeqLM,
    )

    writers = MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING
    if type(config) not in writers[config.is_encoder_decoder]:
        raise ValueError(
            f"{name} 不是写文字的模型。 {name}/config.json, field model_type: found "
            f"{config.model_type!r}, expected a model that writes text: a decoder, or a text "
            "encoder–decoder"
        )
    return AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM


def config_of(name: str | Path) -> PreTrainedConfig:
    """Return the configuration of a student by zoo name, folder or hub id, without its weights.

    An adapter has its base's. Raises what `load_student` raises.
    """
    folder = Path(name)
    if str(name) in ZOO:
        return ZOO[str(name)].config()
    if (folder / "adapter_config.json").is_file():
        return config_of(base_of_adapter(folder))
    source, revision = located(name)
    try:
        return native_config(source, revision)
    except OSError as error:
        raise FileNotFoundError(missing(source, revision, error)) from error


def missing(source: str, revision: str | None, error: Exception) -> str:
    """Say what could not be had and what to do, in one sentence."""
    cause, *_ = str(error).strip().splitlines() or [type(error).__name__]
    name = Path(source).name
    if Path(source).is_dir():
        return (
            f"学生文件夹 {name} 不完整，重新下载或拷贝。 student folder {name} is not whole: "
            f"{cause.replace(source, name)} Download or copy it again"
        )
    where = place_in_mirror(Path("$MINILUOTUO_MIRROR"), source, revision).as_posix()
    return (
        f"the hub's model {source} (revision {revision or 'main'}) cannot be had: {cause} "
        f"It was looked for in {where}/, in the hub's cache and, unless HF_HUB_OFFLINE=1, "
        "on the network. Fill a mirror folder with "
        "`python -m miniluotuo_utils download NAME --mirror DIR` where there is a network, "
        "or set HF_ENDPOINT to a mirror site before Python starts; "
        "without any, take 'tiny' or a folder"
    )


def placement(device: str | None, dtype: str, bits: int | None) -> dict[str, Any]:
    """Return the extra arguments of `from_pretrained` for a 4-bit or 8-bit student; none for an
    ordinary one.
    """
    if bits is None:
        return {}
    if bits not in (4, 8):
        raise ValueError(f"bits is {bits}; expected 4, 8 or None")
    if not find_spec("bitsandbytes"):
        raise ValueError(
            f"bits 要 bitsandbytes，这里没有装。 bits is {bits}, which needs bitsandbytes, not "
            "installed here: pip install bitsandbytes, or leave bits out"
        )
    from transformers import BitsAndBytesConfig

    quantised = BitsAndBytesConfig(
        load_in_4bit=bits == 4,
        load_in_8bit=bits == 8,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    # The library computes on a CPU too, slowly: enough to try it out.
    return {"quantization_config": quantised, "device_map": {"": device or own_device()}}


def load_adapter(folder: Path, device: str | None, dtype: str, bits: int | None) -> Student:
    """Load an adapter folder on the base that it names: hub id, zoo name, or a folder beside it.

    Raises ValueError where it names none or an absolute path, or where the base has other weights
    than it was trained on (`bases.check_base`); FileNotFoundError where the base cannot be had.
    """
    name, base_name, note = adapter_base(folder), base_of_adapter(folder), base_note(folder)
    try:
        base = load_student(base_name, device, dtype, bits, note.get("revision"))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{folder.name}/adapter_config.json, field base_model_name_or_path: "
            f"{name!r} cannot be loaded: {error}"
        ) from error
    check_base(folder, note, name, base.weights)
    check_adapter(folder)
    # It is asked in the template that it was trained in, whatever its base's is.
    base.tokenizer.chat_template = template_in(folder) or base.tokenizer.chat_template
    say_template(name, base.tokenizer)
    with quiet():
        from peft import PeftModel

        model = PeftModel.from_pretrained(base.model, str(folder))
    lessons = lessons_in(folder) or base.lessons
    known = base.weights, base.revision, base.weights
    return Student(name, model.eval(), base.tokenizer, *known, lessons)


def check_adapter(folder: Path) -> None:
    """Raise FileNotFoundError or DataError where the weights of an adapter's folder lack."""
    if not any((folder / f"adapter_model.{ending}").is_file() for ending in ("safetensors", "bin")):
        raise FileNotFoundError(
            f"适配器 {folder.name} 没有权重：重新下载或拷贝。 {folder.name}: found no "
            "adapter_model.safetensors, expected an adapter's weights: download or copy it again"
        )
    check_weights(folder)


def base_of_adapter(folder: Path) -> str | Path:
    """Return the base that an adapter folder names: a folder beside it, a zoo name or a hub id.

    Raises ValueError for one that names itself, and what `adapter_base` raises.
    """
    name = adapter_base(folder)
    beside = folder.resolve().parent / name
    # "./name" is a folder even where the zoo has that name.
    plain = name not in ZOO and "/" not in name and beside.is_dir()
    if not (plain or name.startswith("./")):
        return name
    if beside.resolve() == folder.resolve():
        raise ValueError(
            f"{folder.name}/adapter_config.json, field base_model_name_or_path: found the "
            "adapter's own folder, so its base was lost: put the base into another folder and name "
            "it there"
        )
    return beside


def folders_read(name: str | Path) -> list[Path]:
    """Return the folders that `load_student` reads a student from: its own, an adapter's base's.

    None for a name of the hub, whose files nobody writes.
    """
    folder = Path(name)
    if str(name) in ZOO or not folder.is_dir():
        return []
    adapter = (folder / "adapter_config.json").is_file()
    return [folder, *(folders_read(base_of_adapter(folder)) if adapter else [])]


def template_in(folder: Path) -> str | None:
    """Return the chat template that stands in a student's folder, None without one."""
    file, settings = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    if settings.is_file():
        found = json_file(settings, dict).get("chat_template")
        return found if isinstance(found, str) else None
    return None


def adapter_base(folder: Path) -> str:
    """Return the base that an adapter folder names.

    Raises ValueError where that is no name that works on another machine.
    """
    config = json_file(folder / "adapter_config.json", dict)
    name = str(config.get("base_model_name_or_path") or "")
    fixed = name and (Path(name).is_absolute() or PureWindowsPath(name).drive)
    if name and not fixed:
        return name
    found = "an absolute path" if fixed else "nothing"
    raise ValueError(
        f"{folder.name}/adapter_config.json, field base_model_name_or_path: found {found}, "
        'expected a hub id or a name of the zoo: write the base\'s name there, e.g. "tiny"'
    )


def trained_student(folder: Path, fallback: str, **how: object) -> tuple[Student, bool]:
    """Load the student of `folder` if notebook 04 left one there, else the class's, else the zoo's
    `fallback`; say whether there was a trained one, and print which it is, when and on how much.

    The class's stands in the mirror folder under the last parts of `folder`, where the lecturer's
    `download --course` put it.
    """
    # One's own comes first: it is what notebook 04 has just shown.
    places = {"用 04 留下的学生 the student that 04 left": folder}
    if mirror() and "://" not in mirror():
        shared = Path(mirror()).expanduser().joinpath("runs", *folder.parts[-3:])
        places["用全班共用的学生 the student of the class"] = shared
    for words, place in places.items():
        # It is written last, so a folder without it is not whole.
        note = place / "run.json"
        if note.is_file():
            facts = json.loads(note.read_text(encoding="utf-8"))
            when = f"{datetime.fromtimestamp(note.stat().st_mtime):%Y-%m-%d %H:%M}"
            base, tokens = facts.get("student", "—"), facts.get("tokens")
            much = f"，{tokens:,} 个词元 tokens" if isinstance(tokens, int) else ""
            print(f"{words}：{base}{much}，{when}。")
            return load_student(place, **how), True
    print("04 没有留下学生。 Notebook 04 left no student.")
    return load_student(fallback, **how), False


def copy_into_mirror(name: str, mirror: Path) -> Path:
    """Download a student (zoo name or hub id) into a mirror folder, laid out as `MINILUOTUO_MIRROR`
    reads it; return its folder.
    """
    from huggingface_hub import HfApi, snapshot_download

    spec = ZOO.get(name)
    if spec and not spec.hub:
        raise ValueError(f"{name} ships in the package; there is nothing to download")
    hub, revision = (spec.hub, spec.revision) if spec else (name, None)
    check_id(hub)
    files = needed_files(HfApi().list_repo_files(hub, revision=revision))
    folder = place_in_mirror(mirror, hub, revision)
    snapshot_download(hub, revision=revision, allow_patterns=files, local_dir=folder)
    return folder


def needed_files(files: list[str]) -> list[str]:
    """Return those files of a hub repository that `load_student` reads: safetensors, `.bin` only
    where there are none, and small texts.

    >>> needed_files(["config.json", "pytorch_model.bin", "model.safetensors", "onnx/model.onnx"])
    ['config.json', 'model.safetensors']
    >>> needed_files(["config.json", "pytorch_model.bin", "training_args.bin", "spiece.model"])
    ['config.json', 'pytorch_model.bin', 'spiece.model']
    """
    top = [name for name in files if "/" not in name]
    weights = r".*\.safetensors"
    if not any(name.endswith(".safetensors") for name in top):
        weights = r"pytorch_model.*\.bin"
    return [name for name in top if re.fullmatch(rf"{weights}|.*\.(json|txt|model|jinja)", name)]
