# %% [markdown]
# **练习 1** `鲁迅写了《呐喊》。` 里，`呐喊` 的位置 `pos` 是多少？写成 `[起, 止]`。
#
# *What is the span of 呐喊? Write `[start, end]`.*

# %%
from miniluotuo_utils.show import check

### BEGIN SOLUTION
my_answer = [5, 7]
### END SOLUTION
check(my_answer, [5, 7], [
    ([5, 6], "“止”在最后一个字的后面 · the end stands behind the last character"),
    ([6, 8], "从 0 数起 · count from 0"),
    ([4, 8], "书名号不算名字 · the title marks are no part of the name"),
])

# %% [markdown]
# **练习 2** 写一个函数：返回名字在句子里第一次出现的 `[起, 止]`；句子里没有，返回 `None`。
#
# *Write a function that returns the first `[start, end]` of a name in a sentence, or `None` if it is not there.*

# %%
def span_of(sentence, name):
    ### BEGIN SOLUTION
    start = sentence.find(name)
    return None if start < 0 else [start, start + len(name)]
    ### END SOLUTION


cases = [
    (("鲁迅写了《呐喊》。", "呐喊"), [5, 7]),
    (("黄州因黄州而名。", "黄州"), [0, 2]),
    (("鲁迅写了《呐喊》。", "彷徨"), None),
]


def minus_one(sentence, name):
    start = sentence.find(name)
    return [start, start + len(name)]


check(span_of, cases, [
    (minus_one, "find 找不到时给 −1，不是位置 · find gives −1 for nothing"),
])

# %% [markdown]
# **练习 3** 写一个函数，判断两道题是不是重复：数字一样，而且三字片段（`pieces`）的相似度不小于 0.8，才返回 `True`。`digits` 给出一句话里的数字。
#
# *Write a function: are two problems duplicates? `True` only if their numbers are equal and their `pieces` have a similarity of at least 0.8. `digits` returns the numbers in a text.*

# %%
from miniluotuo_utils.text import digits


def repeats(one, other):
    ### BEGIN SOLUTION
    a, b = pieces(one), pieces(other)
    return digits(one) == digits(other) and len(a & b) / len(a | b) >= 0.8
    ### END SOLUTION


def alike(one, other):
    return jaccard(pieces(one), pieces(other)) >= 0.8


asked = "果园里有32棵苹果树，梨树比苹果树多15棵，果园里一共有多少棵树？写出每一步。"
cases = [
    ((asked, asked.replace("？", "。")), True),
    ((asked, asked.replace("32", "34")), False),
    ((asked, "有32棵树，又种了15棵，一共几棵？"), False),
]
check(repeats, cases, [
    (alike, "换了数字就是另一道题 · with other numbers it is another problem"),
    (lambda a, b: digits(a) == digits(b), "还要看相似度 · similarity counts too"),
])
