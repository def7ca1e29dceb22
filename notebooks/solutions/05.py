# %% [markdown]
# **练习 1** 标准答案 6 个名字，学生写了 5 个，对了 3 个。F1 是多少？
#
# *Gold has 6 names, the student wrote 5, and 3 are right. What is F1?*

# %%
from miniluotuo_utils.show import check

### BEGIN SOLUTION
my_answer = 2 * 3 / (5 + 6)
### END SOLUTION
check(my_answer, 6 / 11, {
    0.6: "那是精确率 3/5 · that is precision",
    0.5: "那是召回率 3/6 · that is recall",
    0.55: "要调和平均，不是算术平均 · the harmonic mean, not the arithmetic one",
    3 / 11: "分子要乘 2 · twice the number of right ones",
})

# %% [markdown]
# **练习 2** 写微平均 F1：`golds` 和 `preds` 每句一个集合，先把所有句子的个数加起来，再算。什么都没有的时候是 0。
#
# *Micro F1: one set a sentence; add up the counts of all sentences first. 0 where there is nothing.*

# %%
def micro_f1(golds, preds):
    ### BEGIN SOLUTION
    right = sum(len(gold & pred) for gold, pred in zip(golds, preds, strict=True))
    both = sum(map(len, golds)) + sum(map(len, preds))
    return 2 * right / both if both else 0.0
    ### END SOLUTION


def by_sentence(golds, preds):
    each = [2 * len(g & p) / (len(g) + len(p)) for g, p in zip(golds, preds, strict=True)]
    return sum(each) / len(each)


cases = [
    (([{1, 2}], [{1, 3}]), 0.5),
    (([{1, 2, 3, 4}, {5}], [{1}, {5}]), 4 / 7),
    (([set()], [set()]), 0.0),
]
check(micro_f1, cases, [
    (by_sentence, "每句先算再平均，那是宏平均 · that is the mean over sentences"),
])

# %% [markdown]
# **练习 3** 写一个函数：从一条记录里取出要比的东西，`(类型, 起, 止)` 的集合；没有位置的不要。
#
# *Return the set of `(type, start, end)` of a record's entities, without those that have no place.*

# %%
def spans(record):
    ### BEGIN SOLUTION
    return {(e["type"], *e["pos"]) for e in record["entities"] if e["pos"]}
    ### END SOLUTION


lu, no = ({"name": name, "type": "人物"} for name in ("鲁迅", "孔乙己"))
cases = [
    ({"entities": [{**lu, "pos": [0, 2]}]}, {("人物", 0, 2)}),
    ({"entities": [{**lu, "pos": [0, 2]}, {**no, "pos": None}]}, {("人物", 0, 2)}),
    ({"entities": []}, set()),
]
check(spans, cases, [
    (lambda r: {(e["type"], e["name"]) for e in r["entities"]}, "那是按名字比 · by name"),
])
