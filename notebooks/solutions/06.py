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


def times(scores, temperature):
    powers = [exp(score * temperature) for score in scores]
    return [power / sum(powers) for power in powers]


cases = [
    (([0.0, 0.0], 3), [0.5, 0.5]),
    (([2 * log(3), 0.0], 2), [0.75, 0.25]),
    (([log(4), 0.0], 1), [0.8, 0.2]),
]
check(soft, cases, [
    (times, "是除以温度，不是乘 · divide by the temperature"),
    (lambda s, t: [exp(x / t) for x in s], "还要除以总和 · divide by the sum"),
])

# %% [markdown]
# **练习 3** 写 KL 散度：`p` 是教师，`q` 是学生，都是概率。`p` 是 0 的项算 0，不要报错。
#
# *The KL divergence of probabilities, the teacher `p` first; where `p` is 0 the term is 0.*

# %%
def kl_of(p, q):
    ### BEGIN SOLUTION
    return sum(a * log(a / b) for a, b in zip(p, q, strict=True) if a > 0)
    ### END SOLUTION


def swapped(p, q):
    return sum(b * log(b / a) for a, b in zip(p, q, strict=True) if a > 0)


cases = [
    (([0.5, 0.5], [0.5, 0.5]), 0.0),
    (([0.5, 0.5], [0.25, 0.75]), 0.5 * log(2) + 0.5 * log(2 / 3)),
    (([1.0, 0.0], [0.5, 0.5]), log(2)),
]
check(kl_of, cases, [
    (swapped, "两边反了：那是反向的 · that is the reverse"),
    (lambda p, q: sum(abs(a - b) for a, b in zip(p, q, strict=True)),
     "那是概率差的和 · that is the sum of differences"),
])
