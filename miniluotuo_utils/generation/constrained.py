"""What may follow in an answer, token by token: stop where its JSON ends, or never leave a grammar. Floor 0, shown in notebook 05.

In: a student's tokenizer and, for each prompt, what its answer may be. Out: guides for `generation.generate`, one per prompt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch

OTHERS = re.compile(r'[^{}\[\]"\\]+')  # what neither opens, closes nor quotes
FREE = '%llguidance {"no_forcing": true}\n'  # else the one possible text is written as the tokenizer would, which may normalise it
CONTINUES = "##"  # begins a WordPiece that continues a word
Processor = Callable[
    ["torch.Tensor", "torch.Tensor"], "torch.Tensor"
]  # ids [rows, tokens], scores [rows, vocabulary] -> scores


class Guide(Protocol):
    """One answer's guide. `allowed` gets all tokens of the answer so far and says what may follow: bools [vocabulary], None for anything."""

    def allowed(self, answer: Sequence[int]) -> np.ndarray | None: ...
    def text(self, answer: Sequence[int]) -> str | None: ...


def guided(guides: Sequence[Guide], start: int) -> Processor:
    """A processor of scores that leaves each row what its guide allows; answers start at token `start`."""
    import numpy as np
    import torch

    def leave_allowed(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        masks = [
            guide.allowed(answer)
            for guide, answer in zip(guides, ids[:, start:].tolist(), strict=True)
        ]
        if all(mask is None for mask in masks):
            return scores
        allowed = np.ones(scores.shape, bool)
        for row, mask in zip(allowed, masks, strict=True):
            row[:] = True if mask is None else mask
        return scores.masked_fill(~torch.from_numpy(allowed).to(scores.device), -torch.inf)

    return leave_allowed


def only(tokens: Sequence[int], size: int) -> np.ndarray:
    """Bools [size], true at `tokens`.

    >>> only([1], 3).tolist()
    [False, True, False]
    """
    import numpy as np

    allowed = np.zeros(size, bool)
    allowed[list(tokens)] = True
    return allowed


class JsonEnd:
    """Ends an answer where its first JSON object or list is closed: what a student adds after it is never generated.

    Brackets around mere words (`[实体]如下：`) and closing ones that nothing opened are not JSON.
    """

    def __init__(self, marks: Callable[[int], str], ends: Sequence[int], size: int):
        self.marks, self.ends, self.size = marks, ends, size
        self.seen, self.depth, self.quoted, self.escaped, self.held, self.closed = (
            0,
            0,
            False,
            False,
            False,
            False,
        )

    def allowed(self, answer: Sequence[int]) -> np.ndarray | None:
        """Anything until the bracket that closes the first one, then an end token alone."""
        for token in answer[self.seen :]:
            self.read(self.marks(token))
        self.seen = len(answer)
        return only(self.ends, self.size) if self.closed else None

    def read(self, marks: str) -> None:
        """Follow quotes and brackets through the next token's text."""
        for mark in marks:
            if self.escaped or mark == "\\":
                self.escaped = not self.escaped and self.quoted
            elif mark == '"':
                self.quoted = self.depth > 0 and not self.quoted
                self.held |= self.quoted
            elif not self.quoted and mark in "{[":
                self.depth += 1
                self.held |= mark == "{"
            elif not self.quoted and mark in "}]" and self.depth:
                self.depth -= 1
                self.closed |= self.depth == 0 and self.held

    def text(self, answer: Sequence[int]) -> None:
        """The tokenizer's own reading."""


class Grammar:
    """Keeps an answer within a grammar to its end; after that there is nothing but an end token."""

    def __init__(
        self, tokenizer: Any, grammar: str, bytes_of: Sequence[bytes], ends: Sequence[int]
    ):
        from llguidance import LLMatcher

        self.matcher, self.bytes_of, self.ends, self.seen = (
            LLMatcher(tokenizer, FREE + grammar),
            bytes_of,
            ends,
            0,
        )
        if self.matcher.is_error():
            raise ValueError(f"llguidance does not read the grammar: {self.matcher.get_error()}")

    def allowed(self, answer: Sequence[int]) -> np.ndarray:
        """What the grammar lets follow."""
        import numpy as np

        if not self.matcher.is_stopped():
            self.matcher.consume_tokens(list(answer[self.seen :]))
            self.seen = len(answer)
        if self.matcher.is_stopped():
            return only(self.ends, len(self.bytes_of))
        bits = np.frombuffer(self.matcher.compute_bitmask(), np.uint8)
        return np.unpackbits(bits, bitorder="little", count=len(self.bytes_of)).astype(bool)

    def text(self, answer: Sequence[int]) -> str:
        """The answer as the grammar reads it, byte by byte: no tokenizer's own idea of spaces comes in."""
        return (
            b"".join(self.bytes_of[token] for token in answer).decode(errors="ignore").lstrip(" ")
        )


def json_ends(tokenizer: Any, ends: Sequence[int], size: int, count: int) -> list[JsonEnd]:
    """`count` guides that stop at the end of the JSON; `ends` are the end ids, `size` how many scores a step has."""
    known: dict[int, str] = {}
    special = set(tokenizer.all_special_ids)

    def marks(token: int) -> str:
        if token not in known:
            known[token] = (
                "x" if token in special else OTHERS.sub("x", piece_text(tokenizer, token))
            )  # [SEP] opens nothing
        return known[token]

    return [JsonEnd(marks, ends, size) for _ in range(count)]


def piece_text(tokenizer: Any, token: int) -> str:
    """A token's piece as the vocabulary spells it, a byte token `<0x7B>` as its character; ASCII is the same in every kind of vocabulary."""
    piece = tokenizer.convert_ids_to_tokens(token) or ""
    return (
        chr(int(piece[3:5], 16))
        if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">")
        else piece
    )


def grammars(tokenizer: Any, ends: Sequence[int], size: int, texts: Sequence[str]) -> list[Grammar]:
    """One guide per Lark grammar of `texts` (llguidance's dialect, https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md).

    ValueError for a tokenizer that is not a fast one, and for a grammar that llguidance cannot read.
    """
    made = matcher_tokenizer(tokenizer, ends, size)
    silent = {*ends, *tokenizer.all_special_ids}
    bytes_of = [b"" if token in silent else made.decode_bytes([token]) for token in range(size)]
    return [Grammar(made, text, bytes_of, ends) for text in texts]


def matcher_tokenizer(tokenizer: Any, ends: Sequence[int], size: int) -> Any:
    """llguidance's view of a tokenizer; where it does not know how the vocabulary spells bytes, ours (`Pieces`)."""
    from llguidance import LLTokenizer, TokenizerWrapper
    from llguidance.hf import from_tokenizer

    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(
            f"{type(tokenizer).__name__} is no fast tokenizer; a grammar needs to know which bytes each token stands for"
        )
    try:
        return from_tokenizer(tokenizer, n_vocab=size, eos_token=list(ends))
    except (
        ValueError
    ):  # "can't determine decoder type": WordPiece, and SentencePiece without byte tokens
        return LLTokenizer(
            TokenizerWrapper(Pieces(tokenizer, ends, size)), n_vocab=size, eos_token=list(ends)
        )


class Pieces:
    """A WordPiece or SentencePiece vocabulary as llguidance's `TokenizerWrapper` wants it.

    WordPiece does not write spaces, so a span or a type with a space is out of its reach, as is a character that it does not know.
    """

    def __init__(self, tokenizer: Any, ends: Sequence[int], size: int):
        pieces = [
            tokenizer.convert_ids_to_tokens(token) if token < len(tokenizer) else None
            for token in range(size)
        ]
        words = type(tokenizer.backend_tokenizer.model).__name__ == "WordPiece"
        self.tokens = [
            (f"<unused{i}>" if piece is None else spelt(piece, words)).encode()
            for i, piece in enumerate(pieces)
        ]
        self.special_token_ids = sorted(
            {*tokenizer.all_special_ids, *(i for i, piece in enumerate(pieces) if piece is None)}
        )
        self.eos_token_id, self.bos_token_id = ends[0], None
        self.encode = lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]

    def __call__(self, text: str) -> list[int]:
        return self.encode(text)


def spelt(piece: str, words: bool) -> str:
    """What a WordPiece (`words`) or SentencePiece piece writes.

    >>> spelt("##ing", True), spelt("▁the", False)
    ('ing', ' the')
    """
    return (
        piece.removeprefix(CONTINUES)
        if words and piece != CONTINUES
        else piece.replace("▁", " ")
        if not words
        else piece
    )
