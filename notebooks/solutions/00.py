# %% [markdown]
# **练习 1** `骆驼` 两个字，在 UTF-8 里一共几个字节？
#
# *How many bytes are the two characters 骆驼 in UTF-8?*

# %%
from miniluotuo_utils.show import check

### BEGIN SOLUTION
my_answer = len("骆驼".encode())
### END SOLUTION
check(my_answer, 6, {
    2: "数的是字，要数字节 · these are characters; count bytes",
    3: "一个汉字三个字节，这里有两个字 · three bytes a character, and there are two",
    4: "那是 GBK；UTF-8 里一个汉字是三个字节 · that is GBK; in UTF-8 it is three a character",
})

# %% [markdown]
# **练习 2** 写一个函数，去掉回答末尾的坏字符 `�`；中间的留着，没有坏字符的一个字也不动。
#
# *Write a function that takes broken characters off the end of an answer, and nothing else.*

# %%
BROKEN = "\ufffd"


def without_broken_end(answer):
    ### BEGIN SOLUTION
    return answer.rstrip(BROKEN)
    ### END SOLUTION


cases = [
    ("鸡蛋", "鸡蛋"),
    ("鸡" + BROKEN, "鸡"),
    ("鸡" + BROKEN * 2, "鸡"),
    (f"鸡{BROKEN}蛋{BROKEN}", f"鸡{BROKEN}蛋"),
    ("", ""),
]
check(without_broken_end, cases, [
    (lambda a: a.replace(BROKEN, ""), "中间的也去掉了 · those inside went, too"),
    (lambda a: a[:-1], "没有坏字符时也去掉了一个字 · a whole character went"),
    (lambda a: a.removesuffix(BROKEN), "末尾可能不止一个 · there may be several at the end"),
])

# %% [markdown]
# **练习 3** 写贪心解码的一步：`scores` 是每个词元的得分，返回得分最大的那个词元。
#
# *Write one step of greedy decoding: return the token with the highest score.*

# %%
def greedy(scores):
    ### BEGIN SOLUTION
    return max(scores, key=scores.get)
    ### END SOLUTION


cases = [({"的": 1.5, "了": 0.25}, "的"), ({"蛋": -3.0, "糕": -0.5, "白": -2.0}, "糕")]
check(greedy, cases, [
    (max, "max(scores) 比的是词元，不是得分 · that compares tokens, not their scores"),
    (lambda s: max(s.values()), "要的是词元，不是它的得分 · the token, not its score"),
    (lambda s: min(s, key=s.get), "取了得分最小的 · that is the lowest score"),
])
