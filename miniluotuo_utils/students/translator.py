"""Let a model that only translates answer like a teacher: Marian, NLLB, M2M100, mBART.

In: requests as `Teacher.ask` takes them, each a text to translate. Out: `Reply`s, kept in the same
store. `teacher.translation` asks it as it asks a chat teacher; used by `translate` of the command
line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.files import batches
from miniluotuo_utils.progress import progress_bar
from miniluotuo_utils.students.bases import weights_fingerprint
from miniluotuo_utils.students.devices import half, own_device, quiet
from miniluotuo_utils.students.loading import folder_of, loaded, located, stated_context
from miniluotuo_utils.teacher.client import Messages
from miniluotuo_utils.teacher.store import Reply, Store, request_key

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# How a family calls English, and the token of its vocabulary for simplified Chinese.
LANGUAGES = (("eng_Latn", "zho_Hans"), ("en", "__zh__"), ("en_XX", "zh_CN"))
# Marian's models into several languages are told by the first token of a text.
FIRST = (">>cmn_Hans<<", ">>cmn<<", ">>zho<<")
LONGEST = 256  # tokens of a translation, where nothing else is asked for


class Translator:
    """A translation model behind the call of a `Teacher`; it follows no instruction (`plain`).

    `name` is a folder or a hub id, `store` as a teacher takes it. A reply belongs to these very
    weights: another model of the same name is asked anew. Raises FileNotFoundError for a model that
    cannot be had, ValueError for one that is no encoder–decoder and where a library is missing.
    """

    plain = True

    def __init__(
        self, name: str | Path, store: Store | Path | str | None = None, batch_size: int = 16
    ) -> None:
        source, revision = located(name)
        device = own_device()
        dtype = "float32" if device == "cpu" else half(device)
        try:
            with quiet():
                self.tokenizer, network = loaded(source, revision, dtype, {})
        except ImportError as error:
            raise ValueError(
                f"{Path(source).name} 的词表要另外的库。 its vocabulary needs another library: "
                f"{' '.join(str(error).split())[:200]} (pip install sentencepiece)"
            ) from error
        if not network.config.is_encoder_decoder:
            raise ValueError(
                f"{Path(source).name}：不是翻译模型。 found {network.config.model_type!r}, not "
                "a model that translates, such as Marian or NLLB; a chat model is asked over its "
                "server: leave --machine out"
            )
        self.network, self.batch_size = network.to(device).eval(), batch_size
        self.store = store if isinstance(store, Store) else Store(store)
        # As a teacher has it: who answers, and what tells it from others of that name.
        self.model = Path(source).name if Path(source).is_dir() else source
        self.server = f"weights:{weights_fingerprint(folder_of(source, revision))[:16]}"
        self.first, self.into = into_chinese(self.tokenizer)
        self.spent: Counter[str] = Counter(asked=0, from_store=0)

    def ask(
        self, requests: Iterable[Messages], progress: bool = True, **sampling: Any
    ) -> list[Reply]:
        """Return one translation for the last message of every request, in order.

        What the store knows is not translated again; the rest is stored batch by batch, the longest
        first, so that a killed run goes on. `sampling` goes to `generate` (`num_beams`,
        `max_tokens`) and is part of a reply's key. A text that is too long comes back with `error`.
        """
        # Equal texts share a key, and are translated once.
        asked = [{"model": self.model, "messages": one, **sampling} for one in requests]
        keys = [request_key(request, self.server) for request in asked]
        missing = {k: r for k, r in zip(keys, asked, strict=True) if self.store.get(k) is None}
        self.spent.update(asked=len(missing), from_store=len(keys) - len(missing))
        longest_first = sorted(missing.items(), key=lambda one: -len(text_of(one[1])))

        # A failure is in no store: a later run tries again.
        failed: dict[str, Reply] = {}
        with progress_bar(total=len(missing), unit="句 sentences", shown=progress) as said:
            for batch in batches(longest_first, self.batch_size):
                replies = self.translated([text_of(request) for _, request in batch], sampling)
                for (key, request), reply in zip(batch, replies, strict=True):
                    if reply.error is None:
                        self.store.put(key, request, reply, self.server)
                    else:
                        failed[key] = reply
                said.update(len(batch))
        return [failed.get(key) or self.store.get(key) for key in keys]

    def translated(self, texts: Sequence[str], sampling: dict[str, Any]) -> list[Reply]:
        """Return the replies to a batch of texts, each with how it ended."""
        import torch

        room = stated_context(self.network.config) or self.tokenizer.model_max_length
        given = self.tokenizer([self.first + text for text in texts])["input_ids"]
        fits = [len(ids) <= room for ids in given]
        sampling = dict(sampling)
        most = min(room, sampling.pop("max_tokens", None) or LONGEST)

        # What does not fit would lose its end without a word, so it stays out of the batch.
        short = [self.first + text for text, good in zip(texts, fits, strict=True) if good]
        made: list[Reply] = []
        if short:
            inputs = self.tokenizer(short, return_tensors="pt", padding=True)
            inputs = {name: inputs[name] for name in ("input_ids", "attention_mask")}
            inputs = {name: ids.to(self.network.device) for name, ids in inputs.items()}
            with torch.inference_mode():
                found = self.network.generate(
                    **inputs, **self.into, **sampling, max_new_tokens=most, max_length=None
                )
            made = [self.reply(ids.tolist()) for ids in found]

        # Every text gets a reply in its place.
        answers = iter(made)
        long = f"一句有 {max(map(len, given))} 个词元。 a text over {room} tokens"
        return [
            next(answers) if good else Reply("", "", model=self.model, error=long) for good in fits
        ]

    def reply(self, ids: list[int]) -> Reply:
        """Return a reply out of the tokens of a translation: cut where it has no end."""
        # The first token begins every translation, and may be the end token itself.
        ended = self.tokenizer.eos_token_id in ids[1:]
        text = self.tokenizer.decode(ids, skip_special_tokens=True).strip()
        return Reply(text, "stop" if ended else "length", model=self.model)


def text_of(request: dict) -> str:
    """Return what a request asks to translate."""
    return request["messages"][-1]["content"]


def into_chinese(tokenizer: PreTrainedTokenizerBase) -> tuple[str, dict[str, int]]:
    """Return how a model is told to write simplified Chinese: before a text, and to `generate`.

    Nothing for a model from English into Chinese alone.
    """
    vocabulary = tokenizer.get_vocab()
    for english, chinese in LANGUAGES:
        if chinese in vocabulary:
            if hasattr(tokenizer, "src_lang"):
                tokenizer.src_lang = english
            return "", {"forced_bos_token_id": vocabulary[chinese]}
    first = next((token for token in FIRST if token in vocabulary), "")
    return f"{first} " if first else "", {}
