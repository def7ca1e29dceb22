# %% [markdown]
# **练习 1** 把第 2 节那一行的回答换成 `骆驼`，用随包学生的词表：要学的词元有几个？先数，再用 `encode` 验一验。
#
# *Change the answer of section 2's row to 骆驼, in the shipped student's vocabulary: how many tokens are learned? Count first, then verify with `encode`.*

# %%
from miniluotuo_utils.show import check

### BEGIN SOLUTION
swapped = encode([{**row, "output": "骆驼"}], probe.tokenizer).rows[0]["labels"]
my_answer = len(swapped) - swapped.count(IGNORED)  # 骆、驼、结束词元
### END SOLUTION
check(my_answer, 3, {
    2: "结束词元也要学 · the end token is learned, too",
    4: "那是 camel 的：c、am、el 和结束词元 · that is camel's",
    17: "提示和结束词元怎么算？ · what of the prompt, and of the end token?",
    18: "提示不算 · the prompt does not count",
})

# %% [markdown]
# **练习 2** 写出 `row_loss`，算一行的损失。`chances[t][v]` 是第 t 个位置猜下一个词元是 v 的概率；`labels` 和 `chances` 一样长，还没有错位，−100 的不算。对数用 `math.log`。
#
# *Write `row_loss`, the loss of a row: `chances[t][v]` is the probability that place t gives to v as the next token; `labels` is as long as `chances` and not shifted yet; −100 is not in the loss. Use `math.log`.*

# %%
def row_loss(chances, labels):
    ### BEGIN SOLUTION
    costs = []
    for chance, target in zip(chances[:-1], labels[1:], strict=True):
        if target != -100:
            costs.append(-math.log(chance[target]))
    return sum(costs) / len(costs)
    ### END SOLUTION


chances = [[0.5, 0.25, 0.25], [0.1, 0.7, 0.2], [0.2, 0.2, 0.6]]  # (3, 3)
cases = [((chances, [-100, 1, 2]), 1.49787), ((chances, [-100, -100, 0]), 2.30259)]
check(row_loss, cases, [
    (lambda c, t: 0.43375 if t[1] == 1 else 1.60944,
     "没有错位：第 t 个位置猜的是第 t+1 个 · not shifted: place t guesses token t+1"),
    (lambda c, t: 2.99573 if t[1] == 1 else 2.30259,
     "要平均，不是相加 · the mean, not the sum"),
    (lambda c, t: 0.99858 if t[1] == 1 else 0.76753,
     "只除以要学的个数 · divide by the learned places only"),
    (lambda c, t: -1.49787 if t[1] == 1 else -2.30259, "少了负号 · no minus"),
], tolerance=1e-3)

# %% [markdown]
# **练习 3** 第 6 节用替换字符串来合并，偷了懒：它会跨过词元的边界。写出不偷懒的 `merge`：`word` 是词元的列表，把相邻的一对 `pair` 从左到右并成一个，返回新的列表。
#
# *Section 6 merged by replacing text, which can cross the borders of tokens. Write a proper `merge`: `word` is a list of tokens; merge each neighbouring `pair` from left to right and return the new list.*

# %%
def merge(word, pair):
    ### BEGIN SOLUTION
    out = []
    for token in word:
        if out and (out[-1], token) == pair:
            out[-1] += token
        else:
            out.append(token)
    return out
    ### END SOLUTION


cases = [
    ((["骆", "驼", "队"], ("骆", "驼")), ["骆驼", "队"]),
    ((["大骆", "驼", "骆", "驼"], ("骆", "驼")), ["大骆", "驼", "骆驼"]),
    ((["哈", "哈", "哈"], ("哈", "哈")), ["哈哈", "哈"]),
]
check(merge, cases, [
    (lambda word, pair: " ".join(word).replace(" ".join(pair), "".join(pair)).split(),
     "“大骆”和“驼”不是这一对 · 大骆 and 驼 are not this pair"),
    (lambda word, pair: ["".join(word)], "只并这一对 · merge this pair only"),
])
