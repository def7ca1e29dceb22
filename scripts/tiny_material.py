# ruff: noqa: SIM905 - word lists read better as text
"""The texts and tasks that the tiny student is pretrained on: an endless, seeded mixture.

Written here: sentence patterns (`tiny_templates.tsv`), names, times, organisations, tasks. Taken
from sources whose stated licence allows it: word lists (THUOCL), pairs with a relation (DeepKE),
chats (OpenAssistant). Never an evaluation or test split, and nothing of the embedded IE sentences,
so that a fine-tuned student has not met them.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from miniluotuo_utils.data.loading import read
from miniluotuo_utils.ie import build_instructions

TEMPLATES = Path(__file__).with_name("tiny_templates.tsv")
SURNAMES = list(
    "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张孔曹严华金魏陶姜戚谢邹喻柏水窦章云苏潘葛奚范彭郎鲁韦昌马苗凤花方俞任袁柳"
    "鲍史唐费廉岑薛雷贺倪汤滕殷罗毕郝邬安常乐于时傅皮卞齐康伍余元卜顾孟平黄和穆萧尹姚邵"
) + ["欧阳", "司马", "诸葛", "上官"]
GIVEN = list(
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉萍红娥玲芬燕彩春菊兰凤洁梅琳素云莲真环雪荣爱妹香月莺媛瑞凡佳嘉琼勤珍贞莉"
    "卿眉君琴蕊薇菁梦岚苑婕馨瑗琰韵融园艺咏聪澜纯毓悦昭冰爽琬茗羽希宁欣飘育滢馥筠柔竹霭凝晓欢枫芸菲寒伊亚宜可姬舒影荔枝思"
    "文武斌辉力鹏健世广志义兴良海山仁波贵福生龙元全国胜学祥才发成康星光天达安岩中茂进林有坚和彪博诚先敬震振壮会群豪心邦承乐绍功松"
    "善厚庆民友裕河哲江浩亮政谦亨奇固之轮翰朗伯宏言若鸣朋梁栋维启克伦翔旭鹤泽晨辰士以建家致树炎德行时泰盛雄琛钧冠策腾榕风航弘"
)
BRAND = list(
    "华中金天海东方新大正泰恒瑞宏远创联科信达通盛兴隆丰康美佳乐安星云雷光明飞龙凤凰长城江山湖岛蓝绿红白青山川启航智慧数维众合"
)
FIELDS = [
    "",
    "",
    "科技",
    "汽车",
    "电子",
    "能源",
    "食品",
    "医药",
    "航空",
    "重工",
    "传媒",
    "软件",
    "纺织",
    "旅游",
    "地产",
    "电力",
    "物流",
    "文化",
]
PUBLIC = [
    "大学",
    "师范大学",
    "理工大学",
    "医科大学",
    "农业大学",
    "学院",
    "第一中学",
    "实验小学",
    "人民医院",
    "中医院",
    "博物馆",
    "图书馆",
    "电视台",
    "日报社",
    "出版社",
    "交响乐团",
    "足球俱乐部",
    "环保局",
    "气象局",
    "教育局",
    "地震局",
    "公安局",
    "法院",
    "市政府",
    "商会",
    "作家协会",
    "音乐学院",
    "研究所",
    "天文台",
    "动物园",
    "铁路局",
    "银行",
    "邮局",
    "队",
    "篮球队",
    "话剧团",
    "设计院",
    "水文站",
    "消防队",
    "农科院",
]
PRODUCTS = [
    "手机",
    "手表",
    "相机",
    "冰箱",
    "洗衣机",
    "电动车",
    "笔记本",
    "平板电脑",
    "耳机",
    "游戏机",
    "轿车",
    "自行车",
    "收音机",
    "电饭煲",
    "打印机",
    "机器人",
    "无人机",
    "音箱",
    "空调",
    "摩托车",
    "缝纫机",
    "望远镜",
    "钢琴",
    "电视",
    "越野车",
    "客机",
    "拖拉机",
    "显卡",
    "充电宝",
    "浏览器",
    "输入法",
    "操作系统",
]
PLANTS = (
    "牡丹 菊花 荷花 梅花 桂花 兰花 玫瑰 月季 杜鹃 茶花 水仙 海棠 樱花 向日葵 薰衣草 郁金香 百合 蒲公英 仙人掌 芦荟 绿萝 吊兰 含羞草 爬山虎 银杏 梧桐 柳树 杨树 松树 柏树 "
    "槐树 榕树 香樟 枫树 水杉 红杉 胡杨 白桦 椰子树 棕榈 竹子 芦苇 苔藓 海带 甘蔗 棉花 水稻 小麦 玉米 高粱 油菜花 紫藤 丁香 合欢 木棉 凤凰木 猴面包树 橡树 山毛榉 雪莲 "
    "珙桐 桫椤 铁树 文竹 鸢尾 康乃馨 牵牛花 凌霄 蔷薇 石榴树 枣树 柿子树 桑树 核桃树 橄榄树 葡萄藤 狗尾草 车前草 艾草 灵芝 人参 枸杞"
).split()
JOBS = "校长 经理 董事长 总裁 主任 教授 院长 队长 教练 导演 记者 工程师 秘书长 主席 局长 馆长 总编辑 首席科学家 店长 主持人 发言人 市长 站长 会计 律师 船长 飞行员".split()
AWARDS = "文学奖 科技进步奖 最佳导演奖 金曲奖 新人奖 和平奖 建筑奖 摄影奖 一等奖 金牌 特别贡献奖 青年科学家奖 最佳女主角奖".split()
MEETINGS = "博览会 论坛 研讨会 代表大会 峰会 年会 交易会 运动会 电影节 音乐节 学术会议 听证会 座谈会 发布会 书展 车展".split()
MATCHES = (
    "世界杯 奥运会 锦标赛 公开赛 联赛 邀请赛 亚运会 全运会 大师赛 超级杯 马拉松 挑战赛".split()
)
BUILDINGS = "大桥 博物馆 体育馆 火车站 机场 图书馆 电视塔 隧道 地铁站 水库 大剧院 植物园 动物园 公园 水电站 美术馆 码头 灯塔 古城墙 寺 塔 书店 菜市场 科技馆 体育场 高铁 运河".split()
DYNASTIES = "唐朝 宋代 元朝 明代 清末 汉代 春秋 战国 三国时期 民国 北宋 南宋 晚清 秦朝 隋朝 上古 文艺复兴时期 二战期间".split()
DAYS = "今天 昨天 明天 前天 去年 今年 明年 上个月 下周 周末 星期三 周五晚上 除夕 中秋 端午 清晨 傍晚 半夜 中午 上午九点 下午三点 夏天 冬天 春天 秋天 立春 冬至 国庆期间 暑假 寒假".split()
ROOMY = {
    "人物": ["人名", "姓名"],
    "地点": ["地名", "位置"],
    "机构": ["组织", "单位"],
    "时间": ["日期"],
    "作品": ["作品名"],
    "产品": ["商品"],
    "食物": ["食品"],
    "生物": ["动植物"],
    "职务": ["职位"],
    "金额": ["钱数"],
    "疾病": ["病名"],
}
OF = {
    "建筑": "地点",
    "植物": "生物",
    "医学": "疾病",
    "航天器": "产品",
    "火箭": "产品",
}  # slots whose names count as another type
WORDS = {
    "diming": "地点",
    "lishimingren": "人物",
    "animal": "生物",
    "food": "食物",
    "medical": "疾病",
    "law": "法律词",
    "chengyu": "成语",
    "poem": "诗句",
    "IT": "计算机词",
    "caijing": "财经词",
    "car": "汽车词",
}
NO_PLACE = re.compile(
    "(医院|学校|法院|小区|市委|公安局?|派出所|酒店|广场|公交|小学|学院|图书馆|公路|电视台|政府|机场|村民|中学|大学|公司|宾馆|饭店)$"
)
FOOD_END = re.compile(
    "[饭面汤糕饼鱼肉菜粥茶酒糖豆果瓜包饺粉丝蛋虾蟹排串锅糊酥卷馒头酱奶油梨桃杏枣橙薯芋笋菇瓣条团糖冻]$"
)


class Names:
    """Names of every kind, drawn anew for each sentence."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.words: dict[str, list[str]] = defaultdict(list)
        for item in read("thuocl", "train"):
            kind = WORDS.get(item["source"].rpartition("_")[2])
            word = item["word"].strip("\ufeff ")
            if kind and 2 <= len(word) <= 9 and (item["frequency"] or 0) >= 3:
                self.words[kind].append(word)
        self.words["地点"] = [w for w in self.words["地点"] if not NO_PLACE.search(w)]
        self.words["食物"] = [w for w in self.words["食物"] if FOOD_END.search(w)]

    def known(self, kind: str, top: int = 2500) -> str:
        """A listed word, half of the time one of the most frequent."""
        words = self.words[kind]
        return self.rng.choice(words[:top] if self.rng.random() < 0.5 else words)

    def pick(self, kind: str) -> str:
        """A new name of a kind."""
        maker = getattr(self, MAKERS[kind]) if kind in MAKERS else None
        if maker:
            return maker()
        return {
            "食物": lambda: self.known("食物", 1500),
            "生物": lambda: self.known("生物", 1500),
            "医学": lambda: self.known("疾病", 1500),
            "植物": lambda: self.rng.choice(PLANTS),
            "职务": lambda: self.rng.choice(JOBS),
        }[kind]()

    def person(self) -> str:
        """A listed person, a foreign name with a dot, or surname and given name."""
        share = self.rng.random()
        if share < 0.4:
            return self.known("人物")
        if share < 0.5:
            return f"{self.known('人物')}·{self.known('人物')}"
        return self.rng.choice(SURNAMES) + "".join(
            self.rng.sample(GIVEN, self.rng.choice([1, 2, 2]))
        )

    def place(self) -> str:
        """A listed place, or one within another."""
        return self.known("地点") + (self.known("地点") if self.rng.random() < 0.08 else "")

    def organisation(self) -> str:
        """A firm, or a public body of a place."""
        if self.rng.random() < 0.45:
            name = "".join(self.rng.sample(BRAND, self.rng.choice([2, 2, 3])))
            return (
                name
                + self.rng.choice(FIELDS)
                + self.rng.choice(["", "", "公司", "集团", "有限公司", "股份"])
            )
        return self.rng.choice(
            [self.place(), "中国", "国家", "".join(self.rng.sample(BRAND, 2))]
        ) + self.rng.choice(PUBLIC)

    def time(self) -> str:
        """A date, a year, a dynasty, a day."""
        r = self.rng
        year = r.choice([r.randint(1840, 2026), r.randint(1980, 2026), r.randint(200, 1900)])
        chinese = "".join("〇一二三四五六七八九"[int(d)] for d in str(year))
        return r.choice(
            [
                f"{year}年",
                f"{year}年{r.randint(1, 12)}月",
                f"{year}年{r.randint(1, 12)}月{r.randint(1, 30)}日",
                f"{r.randint(1, 12)}月{r.randint(1, 30)}日",
                f"{chinese}年",
                f"公元前{r.randint(100, 900)}年",
                f"{r.randint(1, 12)}月",
                f"{year % 100}年代",
                f"{year}年" + r.choice(["春天", "夏天", "秋天", "冬天", "底", "初"]),
                r.choice(DYNASTIES),
                r.choice(DAYS),
                r.choice(DAYS),
                r.choice(["去年", "今年", "前年"]) + f"{r.randint(1, 12)}月",
            ]
        )

    def work(self) -> str:
        """A title: a verse or part of one, an idiom, someone's story."""
        verse, r = self.known("诗句"), self.rng
        return r.choice(
            [
                verse,
                verse[: r.randint(2, 4)],
                verse[-r.randint(2, 4) :],
                self.known("成语"),
                self.known("生物") + "记",
                self.known("地点") + r.choice(["故事", "往事", "之恋", "日记"]),
                self.known("人物") + "传",
                self.known("食物"),
            ]
        )

    def product(self) -> str:
        """A brand with a model or a kind."""
        r = self.rng
        brand = "".join(r.sample(BRAND, 2))
        model = r.choice("ABCDEGKMNPQSTVXZ") + str(
            r.choice([r.randint(1, 9), r.randint(10, 99), r.randint(100, 999)])
        )
        latin = r.choice("ABCDEFGHKLMNPRSTVW") + "".join(
            r.choice("aeiouaeiourstnlm") for _ in range(r.randint(2, 6))
        )
        return r.choice(
            [
                brand + model,
                brand + r.choice(PRODUCTS),
                brand + r.choice(PRODUCTS),
                model,
                f"{latin} {r.randint(1, 20)}",
                latin,
                f"{brand}{r.randint(1, 30)}号",
                self.known("汽车词"),
                r.choice(PRODUCTS),
            ]
        )

    def amount(self) -> str:
        """A sum of money."""
        return f"{self.rng.choice([self.rng.randint(1, 99), self.rng.randint(100, 9999)])}{self.rng.choice(['', '万', '亿', '多万', '余亿'])}{self.rng.choice(['元', '元', '美元', '欧元', '日元', '块钱'])}"

    def number(self) -> str:
        """A number in either script."""
        return self.rng.choice(
            [
                str(self.rng.randint(2, 5000)),
                "".join(self.rng.sample("二三四五六七八九", 1))
                + self.rng.choice(["", "十", "百", "千", "十多", "万"]),
            ]
        )

    def strength(self) -> str:
        """An earthquake's strength."""
        return f"{self.rng.randint(3, 9)}.{self.rng.randint(0, 9)}级"

    def award(self) -> str:
        """An award, with a name before it."""
        return self.rng.choice(
            [
                self.known("地点"),
                self.known("人物"),
                "全国",
                "国际",
                "".join(self.rng.sample(BRAND, 2)),
            ]
        ) + self.rng.choice(AWARDS)

    def meeting(self) -> str:
        """A meeting."""
        return (
            self.rng.choice(["", f"第{self.rng.randint(2, 60)}届"])
            + self.rng.choice([self.known("地点"), "全国", "国际", "世界"])
            + self.rng.choice(MEETINGS)
        )

    def match(self) -> str:
        """A contest."""
        return self.rng.choice(
            ["", self.known("地点"), "全国", "世界", f"{self.rng.randint(1980, 2026)}年"]
        ) + self.rng.choice(MATCHES)

    def building(self) -> str:
        """A building or public place, named after where it is."""
        return self.rng.choice(
            [self.known("地点"), "".join(self.rng.sample(BRAND, 2))]
        ) + self.rng.choice(BUILDINGS)

    def spacecraft(self) -> str:
        """A spacecraft or satellite."""
        return "".join(self.rng.sample(BRAND, 2)) + self.rng.choice(
            [
                "一号",
                "二号",
                "三号",
                "五号",
                "七号",
                "卫星",
                f"{self.rng.randint(2, 30)}号",
                "号飞船",
                "空间站",
                "探测器",
            ]
        )

    def rocket(self) -> str:
        """A rocket."""
        return "".join(self.rng.sample(BRAND, 2)) + self.rng.choice(
            [
                "一号火箭",
                "三号乙火箭",
                "火箭",
                "五号",
                "二号F火箭",
                f"{self.rng.randint(2, 12)}号甲",
            ]
        )


MAKERS = {
    "人物": "person",
    "地点": "place",
    "机构": "organisation",
    "时间": "time",
    "作品": "work",
    "产品": "product",
    "金额": "amount",
    "数字": "number",
    "强度": "strength",
    "奖项": "award",
    "会议": "meeting",
    "赛事": "match",
    "建筑": "building",
    "航天器": "spacecraft",
    "火箭": "rocket",
}


class Patterns:
    """The sentence patterns, filled: IE records of all three tasks at once."""

    def __init__(self, names: Names) -> None:
        self.names, self.rng = names, names.rng
        lines = [
            line
            for line in TEMPLATES.read_text(encoding="utf-8").splitlines()
            if line and not line.startswith("#")
        ]
        self.all = [(line.split("\t") + ["", ""])[:3] for line in lines]
        self.with_relation = [t for t in self.all if t[1]]
        self.with_event = [t for t in self.all if t[2]]
        self.kinds = sorted(
            {m for t in self.with_relation for m in re.findall(r"([^();]+)\(", t[1])}
        )
        self.roles: dict[str, list[str]] = {}
        for t in self.with_event:
            kind, inside = re.fullmatch(r"(.+)\((.+)\)", t[2]).groups()
            roles = self.roles.setdefault(kind, [])
            roles += [r for r in re.findall(r"([^=,]+)=", inside) if r not in roles]

    def record(self, choices: list) -> dict:
        """One to three patterns as one sentence, with entities, relations and at most one event."""
        parts = [self.rng.choice(choices)] + [
            self.rng.choice(self.all) for _ in range(self.rng.choice([0, 0, 0, 1, 1, 2]))
        ]
        parts = [
            p for i, p in enumerate(parts) if i == 0 or not p[2] or choices is not self.with_event
        ]
        self.rng.shuffle(parts)
        found = {
            "sentence": "",
            "entities": [],
            "relations": [],
            "events": [],
            "source": "patterns",
        }
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            self.fill(
                found,
                part if last else [re.sub("[。？]$", self.rng.choice("。，"), part[0]), *part[1:]],
            )
        return found

    def fill(self, record: dict, pattern: list[str]) -> None:
        """Add one filled pattern to the record."""
        slots: dict[str, dict] = {}
        trigger = None
        for bit in re.findall(r"\{[^}]+\}|<[^>]+>|[^{<]+", pattern[0]):
            start = len(record["sentence"])
            if bit[0] == "{":
                slot = bit[1:-1]
                kind = slot.rstrip("0123456789")
                name = slots[slot]["name"] if slot in slots else self.names.pick(kind)
                slots[slot] = {
                    "name": name,
                    "type": OF.get(kind, kind),
                    "pos": [start, start + len(name)],
                }
                record["entities"].append(slots[slot])
                record["sentence"] += name
            elif bit[0] == "<":
                trigger = (bit[1:-1], [start, start + len(bit) - 2])
                record["sentence"] += bit[1:-1]
            else:
                record["sentence"] += bit
        for kind, head, tail in re.findall(r"([^();]+)\(([^,]+),([^)]+)\)", pattern[1]):
            record["relations"].append({"head": slots[head], "type": kind, "tail": slots[tail]})
        if trigger and pattern[2]:
            kind, inside = re.fullmatch(r"(.+)\((.+)\)", pattern[2]).groups()
            arguments = [
                {"name": slots[s]["name"], "role": role, "pos": slots[s]["pos"]}
                for role, s in re.findall(r"([^=,]+)=([^,]+)", inside)
            ]
            record["events"].append(
                {"type": kind, "trigger": trigger[0], "pos": trigger[1], "arguments": arguments}
            )


class Material:
    """The tasks; `rows(share)` is endless, with more bare copying at the beginning, where `share`
    of the training is small."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.names = Names(self.rng)
        self.patterns = Patterns(self.names)
        chats = (
            r
            for r in read("oasst-zh", "train")
            if 4 < len(r["output"]) < 300 and not r.get("history")
        )
        self.chats = [
            r
            for r in chats
            if sum("\u4e00" <= c <= "\u9fff" for c in r["output"]) > 0.6 * len(r["output"])
        ]
        self.bank = list(read("embedded-instructions", "train"))
        prose = (
            p.strip()
            for r in self.chats + self.bank
            for p in re.split(r"(?<=[。！？])|\n", r["output"])
        )
        self.prose = [p for p in prose if 10 <= len(p) <= 80]
        self.pairs = [
            r for r in read("deepke-re", "train") if len(r["sentence"]) <= 90 and r["relations"]
        ]
        self.types = [
            "人物",
            "地点",
            "机构",
            "时间",
            "作品",
            "产品",
            "食物",
            "生物",
            "职务",
            "金额",
            "疾病",
            "奖项",
            "会议",
            "赛事",
        ]
        self.characters = sorted(
            {
                c
                for kind in self.names.words.values()
                for w in kind
                for c in w
                if "\u4e00" <= c <= "\u9fff"
            }
        )

    def sentence(self) -> str:
        """Some sentence, of a pattern or of prose."""
        return (
            self.rng.choice(self.prose)
            if self.rng.random() < 0.4
            else self.patterns.record(self.patterns.all)["sentence"]
        )

    def ner(self) -> dict:
        """Names by type: a random slice of types in random order, now and then under other
        names."""
        record = self.patterns.record(self.patterns.all)
        types = self.rng.sample(self.types, self.rng.choice([1, 2, 3, 4, 6, 8, 8]))
        types += [
            t
            for t in dict.fromkeys(e["type"] for e in record["entities"])
            if t not in types and self.rng.random() < 0.6
        ]
        self.rng.shuffle(types)
        called = {
            t: self.rng.choice(ROOMY[t]) if t in ROOMY and self.rng.random() < 0.15 else t
            for t in types
        }
        kept = [{**e, "type": called[e["type"]]} for e in record["entities"] if e["type"] in called]
        return self.instruction({**record, "entities": kept}, "NER", list(called.values()))

    def instruction(self, record: dict, task: str, schema: object) -> dict:
        """The package's own instruction row, any of its paraphrases."""
        return build_instructions(
            [record], task, schema, seed=self.rng.randrange(10**6), slice_size=None
        )[0]

    def lists(self) -> dict:
        """A list of listed words of two to four kinds, mixed with prose."""
        kinds = self.rng.sample(list(self.names.words), self.rng.randint(2, 4))
        planted = [
            (self.names.known(k), k) for k in kinds for _ in range(self.rng.choice([0, 1, 1, 2]))
        ]
        self.rng.shuffle(planted)
        sentence, entities = self.rng.choice(["", self.rng.choice(self.prose)[:10]]), []
        for word, kind in planted:
            entities.append(
                {"name": word, "type": kind, "pos": [len(sentence), len(sentence) + len(word)]}
            )
            sentence += word + self.rng.choice(
                [
                    "、",
                    "，",
                    "和",
                    "。",
                    "与",
                    self.rng.choice(self.prose)[: self.rng.randint(1, 8)],
                ]
            )
        return self.instruction({"sentence": sentence or "无", "entities": entities}, "NER", kinds)

    def re(self) -> dict:
        """Relations of a pattern, or the given pair of a real sentence."""
        record = (
            self.rng.choice(self.pairs)
            if self.rng.random() < 0.25
            else self.patterns.record(self.patterns.with_relation)
        )
        gold = list(dict.fromkeys(r["type"] for r in record["relations"]))
        others = [k for k in self.patterns.kinds if k not in gold]
        kinds = gold + self.rng.sample(others, self.rng.choice([0, 1, 3, 6, 9]))
        self.rng.shuffle(kinds)
        return self.instruction(record, "RE", kinds)

    def ee(self) -> dict:
        """The event of a pattern, or none."""
        record = self.patterns.record(
            self.patterns.with_event if self.rng.random() < 0.9 else self.patterns.all
        )
        gold = [e["type"] for e in record["events"]]
        others = [k for k in self.patterns.roles if k not in gold]
        kinds = list(dict.fromkeys(gold + self.rng.sample(others, self.rng.choice([1, 2, 4, 7]))))
        self.rng.shuffle(kinds)
        return self.instruction(record, "EE", {k: self.patterns.roles[k] for k in kinds})

    def repeat(self) -> dict:
        """Say a sentence again, or a clause of it, or a piece that begins with two given
        characters."""
        sentence = self.sentence()
        clauses = [p for p in re.split("[，。；？！]", sentence) if p]
        start = self.rng.randrange(max(1, len(sentence) - 5))
        piece = sentence[start : start + self.rng.randint(3, 12)]
        return self.rng.choice(
            [
                row("重复下面这句话。", sentence, sentence),
                row("写出这句话的第一个分句。", sentence, clauses[0]),
                row("写出这句话的最后一个分句。", sentence, clauses[-1]),
                row(f"抄出从“{piece[:2]}”开始的{len(piece)}个字。", sentence, piece),
            ]
        )

    def chat(self) -> dict:
        """A question and its answer, ours or OpenAssistant's."""
        return self.rng.choice(self.bank if self.rng.random() < 0.7 else self.chats)

    def plain(self) -> dict:
        """Text as it is: every token is supervised."""
        return {"text": self.sentence()}

    def copying(self) -> dict:
        """Bare copying without a prompt: `text` is given, `copy` supervised; random characters or
        listed words."""
        n = self.rng.randint(4, 24)
        pieces = (
            self.rng.choices(self.characters, k=n)
            if self.rng.random() < 0.5
            else [
                self.names.known(self.rng.choice(list(self.names.words))) for _ in range(n // 3 + 1)
            ]
        )
        text = "".join(pieces)
        starts = [self.rng.randrange(max(1, len(text) - 3)) for _ in range(3)]
        return {
            "given": text + "→",
            "copy": self.rng.choice(
                [
                    text,
                    *(
                        "；".join(text[s : s + self.rng.randint(3, 8)] for s in starts)
                        for _ in range(2)
                    ),
                ]
            ),
        }

    def rows(self, share: Callable[[], float]) -> Iterator[dict]:
        """An endless mixture; half of the rows are bare copying in the first twentieth of the
        training, few later."""
        later: dict[Callable, int] = {
            self.ner: 36,
            self.re: 16,
            self.ee: 16,
            self.lists: 10,
            self.repeat: 8,
            self.chat: 10,
            self.plain: 8,
        }
        while True:
            bare = 0.5 if share() < 0.05 else 0.05
            yield (
                self.copying()
                if self.rng.random() < bare
                else self.rng.choices(list(later), list(later.values()))[0]()
            )


def row(instruction: str, input: str, output: str) -> dict:
    """An instruction row of this script."""
    return {"instruction": instruction, "input": input, "output": output}
