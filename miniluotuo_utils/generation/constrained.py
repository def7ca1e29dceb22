"""Constrain answers token by token: stop where the JSON ends, or never leave a grammar.

In: a student's tokenizer and, for each prompt, what its answer may be. Out: constraints for
`generation.generate`, one per prompt. Shown in notebook 05.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from miniluotuo_utils.tokens.vocabulary import CONTINUES, kind_of

if TYPE_CHECKING:
    import numpy as np
    import torch

# ids [rows, tokens], scores [rows, vocabulary] -> scores
Processor = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]

OTHERS = re.compile(r'[^{}\[\]"\\]+')  # what neither opens, closes nor quotes
WORDS = re.compile(r"[^\sĠĊĉ▁]")  # what is no white space as vocabularies spell it
LOOP = 24  # tokens of a cycle said six times or more that end an answer under a grammar
BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")  # SentencePiece's byte tokens, as `<0x7B>`

# Otherwise the only text that is possible is written as the tokenizer would, which may normalise.
FREE = '%llguidance {"no_forcing": true}\n'


class Constraint(ABC):
    """What may follow in one answer, and how that answer is read."""

    @abstractmethod
    def allowed(self, answer: Sequence[int]) -> np.ndarray | None:
        """Return bools [vocabulary] of what may follow `answer`, None for anything.

        `answer` is all of it so far: each call goes on from the one before.
        """

    def text(self, answer: Sequence[int]) -> str | None:
        """Return the text of a finished answer, None for the tokenizer's own reading."""
        return None


def constrain(constraints: Sequence[Constraint | None], start: int) -> Processor:
    """Return a processor that leaves each row what its constraint allows.

    Answers start at token `start`.
    """
    import torch

    def leave_allowed(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        answers = ids[:, start:].tolist()
        for row, (constraint, answer) in enumerate(zip(constraints, answers, strict=True)):
            allowed = constraint.allowed(answer) if constraint else None
            if allowed is not None:
                forbidden = torch.from_numpy(~allowed).to(scores.device)
                scores[row].masked_fill_(forbidden, -torch.inf)
        return scores

    return leave_allowed


# ---- stop where the JSON ends


class JsonEnd(Constraint):
    """Ends an answer where the JSON object or list that it begins with is closed.

    What a student adds after it is never generated. After words the first JSON may be a draft
    (例如 {…}，所以答案是 {…}), or stand in thoughts: then the answer goes on. Brackets around mere
    words (`[实体]`) and closing ones that nothing opened are not JSON.
    """

    def __init__(self, marks: Callable[[int], str], only_ends: np.ndarray):
        self.marks, self.only_ends = marks, only_ends
        self.seen = self.depth = 0  # tokens that are read, brackets that are open
        self.quoted = self.escaped = False  # inside a string, behind a backslash
        self.held = self.closed = False  # a key, string or object has begun; the JSON has ended
        self.led = False  # words stand before the JSON

    def allowed(self, answer: Sequence[int]) -> np.ndarray | None:
        """Allow anything until the bracket that closes the first one, then end tokens alone."""
        for token in answer[self.seen :]:
            self.read(self.marks(token))
        self.seen = len(answer)
        return self.only_ends if self.closed else None

    def read(self, marks: str) -> None:
        """Follow quotes and brackets through the next token's text."""
        for mark in marks:
            # A backslash means something inside a string alone.
            if self.escaped or mark == "\\":
                self.escaped = not self.escaped and self.quoted
            elif mark == '"':
                self.quoted = self.depth > 0 and not self.quoted
                self.held |= self.quoted

            # A bracket inside a string is one of its characters.
            elif not self.quoted and mark in "{[":
                self.depth += 1
                self.held |= mark == "{"
            elif not self.quoted and mark in "}]" and self.depth:
                self.depth -= 1
                self.closed |= self.depth == 0 and self.held and not self.led
            elif mark == "x" and not self.held:
                self.led = True


def json_ends(tokenizer: Any, ends: Sequence[int], size: int, count: int) -> list[JsonEnd]:
    """Return `count` constraints that stop at the end of the JSON.

    `ends` are the ids that end an answer, `size` is the number of scores a step has.
    """
    import numpy as np

    only_ends = np.isin(np.arange(size), ends)
    special = set(tokenizer.all_special_ids)

    @cache
    def marks(token: int) -> str:
        # [SEP] opens nothing, and is no word.
        if token in special:
            return ""
        return OTHERS.sub(
            lambda found: "x" if WORDS.search(found[0]) else "", piece_text(tokenizer, token)
        )

    return [JsonEnd(marks, only_ends) for _ in range(count)]


def piece_text(tokenizer: Any, token: int) -> str:
    """Return a token as the vocabulary spells it, a byte token `<0x7B>` as its character.

    ASCII, and so every mark of JSON, is spelt the same in every kind of vocabulary.
    """
    piece = tokenizer.convert_ids_to_tokens(token) or ""
    byte = BYTE.fullmatch(piece)
    return chr(int(byte[1], 16)) if byte else piece


# ---- never leave a grammar


class Grammar(Constraint):
    """Keeps an answer within a grammar to its end; then nothing but an end token may follow."""

    def __init__(
        self, tokenizer: Any, grammar: str, bytes_of: Sequence[bytes], ends: Sequence[int] = ()
    ):
        from llguidance import LLMatcher

        self.matcher, self.bytes_of = LLMatcher(tokenizer, FREE + grammar), bytes_of
        self.ends = list(ends)
        self.seen = 0  # tokens of the answer that are read
        if self.matcher.is_error():
            raise ValueError(f"llguidance does not read the grammar: {self.matcher.get_error()}")

    def allowed(self, answer: Sequence[int]) -> np.ndarray:
        """Return what the grammar lets follow: after its end, or in a loop, end tokens alone."""
        import numpy as np

        # The grammar does not know of an end that a loop was given, and must not be asked about it.
        if (len(answer) and answer[-1] in self.ends) or (self.ends and loops(answer)):
            return np.isin(np.arange(len(self.bytes_of)), self.ends)
        if not self.matcher.is_stopped():
            self.matcher.consume_tokens(list(answer[self.seen :]))
            self.seen = len(answer)

        # llguidance's torch function compiles itself at first use, which takes a C++ compiler and
        # the better part of a minute; a bit mask unpacked by numpy costs the same per step.
        bits = np.frombuffer(self.matcher.compute_bitmask(), np.uint8)
        return np.unpackbits(bits, bitorder="little", count=len(self.bytes_of)).astype(bool)

    def text(self, answer: Sequence[int]) -> str:
        """Read the answer byte by byte as the grammar does, without the tokenizer's own spaces."""
        found = b"".join(self.bytes_of[token] for token in answer)
        return found.decode(errors="ignore").lstrip(" ")


def loops(answer: Sequence[int]) -> bool:
    """Tell whether an answer ends in a cycle of tokens said over and over.

    >>> loops([1, 2, 3] * 8), loops([1, 2, 3] * 5), loops([7] * 23), loops([7] * 24)
    (True, False, False, True)
    """
    tail = list(answer[-6 * LOOP :])
    for period in range(1, LOOP + 1):
        length = max(LOOP, 6 * period)
        if len(tail) >= length and tail[-length:-period] == tail[period - length :]:
            return True
    return False


def grammars(tokenizer: Any, ends: Sequence[int], size: int, texts: Sequence[str]) -> list[Grammar]:
    """Return one constraint per Lark grammar of `texts`, in llguidance's dialect.

    See https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md. Raises ValueError for a
    tokenizer that is not a fast one, and for a grammar that llguidance cannot read.
    """
    made = matcher_tokenizer(tokenizer, ends, size)
    silent = {*ends, *tokenizer.all_special_ids}
    bytes_of = [b"" if token in silent else made.decode_bytes([token]) for token in range(size)]
    return [Grammar(made, text, bytes_of, ends) for text in texts]


def matcher_tokenizer(tokenizer: Any, ends: Sequence[int], size: int) -> Any:
    """Return llguidance's view of a tokenizer."""
    from llguidance import LLTokenizer, TokenizerWrapper
    from llguidance.hf import from_tokenizer

    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(
            f"{type(tokenizer).__name__} is no fast tokenizer; "
            "a grammar needs to know which bytes each token stands for"
        )
    try:
        return from_tokenizer(tokenizer, n_vocab=size, eos_token=list(ends))
    except ValueError:
        # "can't determine decoder type": WordPiece, and SentencePiece without byte tokens.
        pieces = TokenizerWrapper(Pieces(tokenizer, ends, size))
        return LLTokenizer(pieces, n_vocab=size, eos_token=list(ends))


class Pieces:
    """A WordPiece or SentencePiece vocabulary as llguidance's `TokenizerWrapper` wants it.

    WordPiece does not write spaces, so a span or a type with a space is out of its reach, as is a
    character that it does not know.
    """

    def __init__(self, tokenizer: Any, ends: Sequence[int], size: int):
        # The output layer may have more rows than the vocabulary, and the vocabulary holes.
        known = tokenizer.convert_ids_to_tokens(list(range(min(size, len(tokenizer)))))
        known += [None] * (size - len(known))
        unused = {i for i, piece in enumerate(known) if piece is None}

        wordpiece = kind_of(tokenizer) == "WordPiece"
        self.tokens = [
            (f"<unused{i}>" if i in unused else spelt(piece, wordpiece)).encode()
            for i, piece in enumerate(known)
        ]
        self.special_token_ids = sorted({*tokenizer.all_special_ids, *unused})
        self.eos_token_id, self.bos_token_id = ends[0], None
        self.tokenizer = tokenizer

    def __call__(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]


def spelt(piece: str, wordpiece: bool) -> str:
    """Return what a WordPiece or a SentencePiece piece writes.

    >>> spelt("##ing", True), spelt("##", True), spelt("▁the", False)
    ('ing', '##', ' the')
    """
    if not wordpiece:
        return piece.replace("▁", " ")
    return piece if piece == CONTINUES else piece.removeprefix(CONTINUES)
