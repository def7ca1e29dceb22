# %% [markdown]
# **练习 1** `鲁迅写了《呐喊》。` 里，`呐喊` 的位置 `pos` 是多少？写成 `[起, 止]`。
#
# *Where does 呐喊 stand? Write `[start, end]`.*

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
# **练习 2** 写一个函数：名字在句子里第一次出现的 `[起, 止]`；句子里没有，就是 `None`。
#
# *Return where a name stands first, `[start, end]`, or `None` where the sentence does not hold it.*

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
    (minus_one, "find 找不到时给 −1，那不是位置 · find gives −1 where there is nothing"),
])

# %% [markdown]
# **练习 3** 两句话有多像？写一个函数：各自取出所有相邻的两个字，交集的个数除以并集的个数（Jaccard）。
#
# *How alike are two sentences? Take all pairs of neighbouring characters of each; divide the size of what they share by the size of both together (Jaccard).*

# %%
def likeness(one, other):
    ### BEGIN SOLUTION
    a, b = ({text[i : i + 2] for i in range(len(text) - 1)} for text in (one, other))
    return len(a & b) / len(a | b)
    ### END SOLUTION


def letters(one, other):
    return len({*one} & {*other}) / len({*one} | {*other})


cases = [
    (("在家种薄荷", "在家种薄荷"), 1.0),
    (("在家种薄荷", "在阳台种薄荷"), 2 / 7),
    (("骆驼吃草", "今天下雨"), 0.0),
]
check(likeness, cases, [
    (letters, "数的是单个的字，要两个两个地取 · single characters; take pairs"),
])
