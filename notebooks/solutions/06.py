# %% [markdown]
# **练习 1** 教师的词表有 50,257 项。整张表存成 float16（一个数两字节），一个词元多少字节？只存最大的 16 项呢：编号四字节，概率两字节，再加剩下的合成一项的概率？
#
# *A teacher's vocabulary has 50,257 entries. How many bytes is a token's whole table in float16? And the 16 likeliest only: ids of four bytes, probabilities of two, and one more for all the rest?*

# %%
from miniluotuo_utils.show import check

### BEGIN SOLUTION
whole = 2 * 50_257
top = 16 * (4 + 2) + 2
### END SOLUTION
check([whole, top], [100_514, 98], [
    ([100_514, 96], "还有剩下的那一项 · the rest is one more"),
    ([201_028, 98], "float16 是两字节 · two bytes, not four"),
    ([100_514, 34], "编号也要存 · the ids have to be kept, too"),
])

# %% [markdown]
# **练习 2** 用纯 Python 写带温度的 softmax：`scores` 是一列数，返回一列概率。
#
# *Softmax with a temperature in plain Python: a list of numbers in, a list of probabilities out.*

# %%
from math import exp, log


def soft(scores, temperature):
    ### BEGIN SOLUTION
    powers = [exp(score / temperature) for score in scores]
    return [power / sum(powers) for power in powers]
    ### END SOLUTION


def package(scores, temperature):
    return softened(torch.tensor(scores), temperature)  # 对数概率 log-probabilities


cases = [
    (([0.0, log(3)], 3.0), [0.409459, 0.590541]),
    (([2 * log(3), 0.0], 2.0), [0.75, 0.25]),
    (([log(4), 0.0], 1.0), [0.8, 0.2]),
]
check(soft, cases, [
    (lambda s, t: package(s, 1 / t).exp().tolist(), "是除以温度 · divide by it"),
    (lambda s, t: [exp(x / t) for x in s], "还要除以总和 · divide by the sum"),
    (lambda s, t: package(s, t).tolist(), "那是对数概率 · these are logarithms"),
])

# %% [markdown]
# **练习 3** 正向和反向之间的 **JSD**（Jensen–Shannon 散度）：`p` 是教师，`q` 是学生，都是概率。先取中间 `m = β·p + (1 − β)·q`，再算 `β·KL(p ‖ m) + (1 − β)·KL(q ‖ m)`；概率是 0 的项算 0。β 是 0.5 时，换一换两边，变不变？
#
# *The JSD between forward and reverse, of probabilities, the teacher `p` first: mix `m` as above, then weigh the two KLs to it; where a probability is 0 the term is 0. Does it change at β = 0.5 when the two change places?*

# %%
from miniluotuo_utils.students.losses import divergence


def jsd(p, q, beta):
    ### BEGIN SOLUTION
    total = 0.0
    for a, b in zip(p, q, strict=True):
        m = beta * a + (1 - beta) * b
        total += beta * a * log(a / m) if a > 0 else 0.0
        total += (1 - beta) * b * log(b / m) if b > 0 else 0.0
    return total
    ### END SOLUTION


def package_of(p, q, beta):
    theirs, ours = (torch.tensor(one).clamp(1e-30).log() for one in (p, q))
    return divergence(theirs, ours, beta).item()


cases = [
    (([0.5, 0.5], [0.9, 0.1], 0.5), 0.101749),
    (([0.5, 0.5], [0.9, 0.1], 0.25), 0.083303),
    (([1.0, 0.0], [0.0, 1.0], 0.5), log(2)),
]
check(jsd, cases, [
    (lambda p, q, b: package_of(q, p, b), "教师和学生反了 · they are exchanged"),
    (lambda p, q, b: package_of(p, q, 0), "没有和中间 m 比 · compare both with m"),
])
