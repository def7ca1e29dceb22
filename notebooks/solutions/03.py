# %% [markdown]
# **练习 1** 把上面例子里的回答换成 `骆驼`，这个词表里，受监督的词元有几个？
#
# *With the answer 骆驼, how many tokens of the row are supervised in this vocabulary?*

# %%
from miniluotuo_utils.show import check

swapped = {**row, "output": "骆驼"}
labels = encode([swapped], tokenizer, LENGTH).rows[0]["labels"]
right = len(labels) - labels.count(IGNORED)
### BEGIN SOLUTION
my_answer = len(tokenizer.encode("骆驼", add_special_tokens=False)) + 1
### END SOLUTION
check(my_answer, right, [
    (right - 1, "结束词元也要学 · the end token is learned, too"),
    (len(labels), "提示不算 · the prompt does not count"),
])

# %% [markdown]
# **练习 2** 写监督掩码：`prompt` 和 `answer` 是词元编号。返回 `[输入, 标签]`，提示的标签是 −100。错位的事不用管，损失函数会做。
#
# *Write the mask: return `[input ids, labels]`, with −100 for the prompt. The shift is the loss's business.*

# %%
def masked(prompt, answer):
    ### BEGIN SOLUTION
    return [prompt + answer, [-100] * len(prompt) + answer]
    ### END SOLUTION


def shifted(prompt, answer):
    ids, labels = prompt + answer, [-100] * len(prompt) + answer
    return [ids, labels[1:] + [-100]]


cases = [
    (([7, 8, 9], [4, 5]), [[7, 8, 9, 4, 5], [-100, -100, -100, 4, 5]]),
    (([7], [4, 5, 0]), [[7, 4, 5, 0], [-100, 4, 5, 0]]),
]
check(masked, cases, [
    (shifted, "错开了一位，损失函数还会再错一次 · the loss shifts once more"),
    (lambda p, a: [p + a, p + a], "提示也学了 · the prompt is learned, too"),
    (lambda p, a: [p + a, p + [-100] * len(a)], "反了：要学的是回答 · the other way round"),
])

# %% [markdown]
# **练习 3** 写一个函数：几行长度不同，`size` 行一批，每批填充到这一批里最长的。有用的格子占多少？
#
# *Rows of some lengths, `size` to a batch, each batch padded to its longest: what share of the cells is useful?*

# %%
def useful_share(lengths, size):
    ### BEGIN SOLUTION
    batches = [lengths[at : at + size] for at in range(0, len(lengths), size)]
    return sum(lengths) / sum(max(batch) * len(batch) for batch in batches)
    ### END SOLUTION


cases = [
    (([4, 4, 4, 4], 2), 1.0),
    (([1, 3, 2, 2], 2), 0.8),
    (([1, 3, 10], 2), 14 / 16),
]
check(useful_share, cases, [
    (lambda n, s: sum(n) / (max(n) * len(n)), "填充到了全部里最长的 · padded to the longest of all"),
])
