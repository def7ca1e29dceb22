"""Complete a student's folder, so that any server or pipeline asks it as it was trained.

In: a student and the folder that holds its weights and tokenizer. Out: its chat template, its
settings of generation, an adapter's base, a README. Used by `save`; shown in notebook 04.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from miniluotuo_utils.prompts import has_own_template
from miniluotuo_utils.students.bases import write_base
from miniluotuo_utils.students.loading import Student
from miniluotuo_utils.students.zoo import ZOO
from miniluotuo_utils.tokens.template import all_ends, written_down

if TYPE_CHECKING:
    from transformers import GenerationConfig

SHORT_CONTEXT = 2048  # tokens up to which an answer may fill the context
LONGEST = 1024  # tokens of an answer where the context is longer


def complete_folder(student: Student, folder: Path) -> None:
    """Write what `save_pretrained` of model and tokenizer leaves out.

    `chat_template.jinja`: a chat template of the student's own is kept as it is; for a decoder
    without one it is Alpaca's wrapper, in which it is asked. An encoder–decoder gets none: its
    prompt ends with an end token, which a tokenizer puts there and a template cannot.
    """
    if not student.encoder_decoder and not student.tokenizer.chat_template:
        template = written_down(student.tokenizer)
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    if student.is_adapter:
        write_base(folder, student.name, student.revision, student.weights)
    else:
        generation_settings(student).save_pretrained(folder)
    (folder / "README.md").write_text(readme(student), encoding="utf-8")


def generation_settings(student: Student) -> GenerationConfig:
    """Return settings with which a pipeline answers as `generate` does: greedily, to the same end.

    A short context may be filled, as in `generate`; learned positions end there.
    """
    from transformers import GenerationConfig

    config, old = student.model.config, student.model.generation_config
    ends = all_ends(student.tokenizer, old.eos_token_id)
    short = student.context <= SHORT_CONTEXT
    length = {"max_length": student.context} if short else {"max_new_tokens": LONGEST}
    starts = [getattr(place, "decoder_start_token_id", None) for place in (old, config)]
    return GenerationConfig(
        do_sample=False,
        bos_token_id=old.bos_token_id,
        eos_token_id=ends if ends[1:] else ends[0],
        pad_token_id=student.tokenizer.pad_token_id,
        decoder_start_token_id=next((start for start in starts if start is not None), None),
        **length,
    )


def readme(student: Student) -> str:
    """Return the README of a student's folder: what it is, how to load it, how it is asked."""
    parts = [ADAPTER if student.is_adapter else WHOLE]
    if not student.encoder_decoder:
        parts.append(OWN if has_own_template(student.tokenizer) else WRAPPER)
        if "enable_thinking" in str(student.tokenizer.chat_template):
            parts.append(THINKING)
    if student.is_adapter:
        parts.insert(1, with_peft(student))
    text = "\n".join(parts).replace("BASE", student.name)
    auto = "AutoModelForSeq2SeqLM" if student.encoder_decoder else "AutoModelForCausalLM"
    text = text.replace("@AUTO@", auto).replace("@PEFT@", auto.replace("Auto", "AutoPeft"))
    return text.replace("REVISION", student.revision or "main")


def with_peft(student: Student) -> str:
    """Return how an adapter is loaded without this package, which depends on where its base is."""
    if student.name.startswith("./"):
        return BESIDE
    spec = ZOO.get(student.name)
    if spec and not spec.hub:
        return SHIPPED
    return ON_HUB.replace("@HUB@", spec.hub if spec else student.name)


WHOLE = """# 学生 · A student

由 Mini-Luotuo 的 `save` 写出，从 `BASE` 训练而来；`training.jsonl` 若在，是训练的记录。
*Written by Mini-Luotuo's `save`, trained from `BASE`; `training.jsonl`, if there, is the log.*

```python
from miniluotuo_utils.students import load_student

student = load_student("这个文件夹 this folder")
```

不装 Mini-Luotuo 时，用 transformers：
*Without Mini-Luotuo, with transformers:*

```python
from transformers import @AUTO@, AutoTokenizer

model = @AUTO@.from_pretrained("这个文件夹 this folder")
tokenizer = AutoTokenizer.from_pretrained("这个文件夹 this folder")
```
"""
ADAPTER = """# 适配器 · An adapter

由 Mini-Luotuo 的 `save` 写出，只有在底座 `BASE` 上才能用。
`base.json` 记着底座权重的指纹，指纹不同的底座会被拒绝。
*Written by Mini-Luotuo's `save`. It works only on its base `BASE`;
`base.json` holds the fingerprint of the base's weights, and a base with another one is refused.*

```python
from miniluotuo_utils.students import load_student, merge

student = load_student("这个文件夹 this folder")
whole = merge(student)  # 合进底座 added into its base
```

接着训练（LoRA）：`train --student 这个文件夹 --data 新数据 --out 另一个文件夹`。
*To train it further: `train --student THIS_FOLDER --data MORE --out ANOTHER_FOLDER` (LoRA).*
"""
BESIDE = """只用 PEFT 时，要在这个文件夹的上一级目录里运行：底座 `BASE` 是它旁边的文件夹。
*With PEFT alone, run in the folder that holds this one: the base `BASE` stands beside it.*

```python
from peft import @PEFT@

model = @PEFT@.from_pretrained("这个文件夹 this folder")
```
"""
SHIPPED = """只用 PEFT 时，`@PEFT@` 在 hub 上找不到底座 `BASE`：
它随 Mini-Luotuo 一起来，要自己给出。
*With PEFT alone, `@PEFT@` does not find the base on the hub: `BASE` comes with Mini-Luotuo.
Give it yourself.*

```python
from peft import PeftModel

base = load_student("BASE")
model = PeftModel.from_pretrained(base.model, "这个文件夹 this folder")
```
"""
ON_HUB = """只用 PEFT 时 *With PEFT alone*：

```python
from peft import PeftModel
from transformers import @AUTO@

base = @AUTO@.from_pretrained("@HUB@", revision="REVISION")
model = PeftModel.from_pretrained(base, "这个文件夹 this folder")
```
"""
OWN = """## 怎样提问 · How it is asked

用它自己的对话模板（`chat_template.jinja`），训练时也是这样。指令和输入合成一条消息，中间换一行。
*In its own chat template (`chat_template.jinja`), as in training.
Instruction and input are one message, with a line break between them.*

```python
messages = [{"role": "user", "content": "找出人物。\\n李白生于碎叶。"}]
ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True)
```
"""
WRAPPER = """## 怎样提问 · How it is asked

用 Alpaca 的提示，训练时也是这样；它作为对话模板写在 `chat_template.jinja` 里。
一行的输入放在消息的 `input` 里，得到的就是训练时的字节；只有 `content` 的消息按没有输入的格式提问，
经过只转交 `role` 和 `content` 的服务器（如 llama.cpp 的）也是这样。
*In Alpaca's wrapper, as in training; it stands in `chat_template.jinja` as a chat template.
A row's input is the message's `input`, which gives the trained bytes;
a message with `content` alone is asked in the form without input,
and so is any message behind a server that hands on `role` and `content` only (llama.cpp's).*

```python
messages = [{"role": "user", "content": "找出人物。", "input": "李白生于碎叶。"}]
ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True)
```
"""
THINKING = """训练时不带思考，所以提问时也要写 `enable_thinking=False`。
*It was trained without thinking: ask with `enable_thinking=False`, too.*
"""
