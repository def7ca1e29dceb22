# %% [markdown]
# **练习 1** 前缀给每一层学 20 对键和值。35 亿参数的学生有 30 层，键和值各宽 3,072：前缀要学多少个数？提示微调只学 20 个宽 3,072 的虚拟词元，又是多少个？
#
# *Prefix tuning learns 20 keys and 20 values for each layer. The student of 3.5 B has 30 layers, keys and values of width 3,072: how many numbers is that? And prompt tuning, which learns 20 virtual tokens of width 3,072?*

# %%
from miniluotuo_utils.show import check

### BEGIN SOLUTION
prefix = 20 * 2 * 30 * 3_072
prompt = 20 * 3_072
### END SOLUTION
check([prefix, prompt], [3_686_400, 61_440], [
    ([1_843_200, 61_440], "键和值是两份 · keys and values are two"),
    ([122_880, 61_440], "每一层都有自己的一份 · each layer has its own"),
    ([3_686_400, 122_880], "虚拟词元没有键和值之分 · a virtual token is one vector"),
    ([3_686_400, 1_843_200], "虚拟词元只在最下面加一次 · prompt tokens enter once"),
])

# %% [markdown]
# **练习 2** 写一个函数：`layers` 是每个线性层的 `(入, 出)`，`rank` 是秩，一共要学多少个数？
#
# *`layers` holds `(in, out)` of each linear layer; return how many numbers a LoRA of this rank learns.*

# %%
def lora_size(layers, rank):
    ### BEGIN SOLUTION
    return sum(rank * (inside + outside) for inside, outside in layers)
    ### END SOLUTION


cases = [
    (([(256, 704)], 16), 15_360),
    (([(256, 256), (256, 128), (256, 128), (256, 256)], 8), 14_336),
    (([], 16), 0),
]
check(lora_size, cases, [
    (lambda n, r: sum(i * o for i, o in n), "那是全部权重 · that is the whole matrix"),
    (lambda n, r: sum(r * i * o for i, o in n), "入和出相加 · in and out add up"),
    (lambda n, r: sum(i + o for i, o in n), "还要乘上秩 · times the rank"),
])

# %% [markdown]
# **练习 3** 写只看回答的平均损失：`losses` 是每个位置的损失，标签是 −100 的不算；一个都不算的时候返回 0。
#
# *Write the mean loss over answers: `losses` has one loss for each position; positions labelled −100 do not count; return 0 if none counts.*

# %%
def masked_mean(losses, labels):
    ### BEGIN SOLUTION
    counted = [x for x, label in zip(losses, labels, strict=True) if label != -100]
    return sum(counted) / len(counted) if counted else 0.0
    ### END SOLUTION


def over_all(losses, labels):
    pairs = zip(losses, labels, strict=True)
    return sum(loss for loss, label in pairs if label != -100) / len(losses)


cases = [
    (([5.0, 1.0, 3.0], [-100, 4, 9]), 2.0),
    (([5.0, 1.0], [0, 4]), 3.0),
    (([5.0, 5.0], [-100, -100]), 0.0),
]
check(masked_mean, cases, [
    (over_all, "除以了所有的位置 · divided by all positions"),
    (lambda x, y: sum(x) / len(x), "提示也算进去了 · the prompt counts, too"),
])
