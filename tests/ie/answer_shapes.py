"""Answers in the shapes that models and tools write, each with its reading; sentences of our own.

The shapes follow the documentation and issues of OneKE and IEPile, KnowLM's kg2instruction,
YAYI-UIE, InstructUIE, UIE and PaddleNLP's Taskflow, CLUENER, DuIE, DuEE, CMeIE, LangExtract,
GLiNER, spaCy, transformers' pipelines, GoLLIE, KnowCoder, REBEL, GraphRAG, LightRAG, json_repair,
and the habits of chat models. `plain`: whether it must be read without a schema too.
"""

# ---- NER: 陆羽在湖州写成《茶经》 unless said otherwise

WHO = [("陆羽", "人物"), ("湖州", "地点")]
NER_SCHEMA = ["人物", "地点", "作品"]
# name -> (answer, items as (name, type), read without a schema)
NER_SHAPES = {
    # keyed by type
    "types": ('{"人物":["陆羽"],"地点":["湖州"]}', WHO, True),
    "types, empty ones": ('{"人物":["陆羽"],"地点":["湖州"],"作品":[]}', WHO, True),
    "types, null": ('{"人物":["陆羽"],"地点":["湖州"],"作品":null}', WHO, True),
    "types, none in words": ('{"人物":["陆羽"],"地点":["湖州"],"作品":["无"]}', WHO, True),
    "types, NAN": ('{"人物":["陆羽"],"地点":["湖州"],"作品":"NAN"}', WHO, True),
    "types, one text": ('{"人物":"陆羽","地点":"湖州"}', WHO, True),
    "types, joined": (
        '{"人物":"陆羽、皎然","地点":"湖州"}',
        [("陆羽", "人物"), ("皎然", "人物"), ("湖州", "地点")],
        True,
    ),
    "list of types": ('[{"人物":["陆羽"]},{"地点":["湖州"]}]', WHO, True),
    "UIE": (
        '[{"人物":[{"text":"陆羽","start":0,"end":2,"probability":0.98}],'
        '"地点":[{"text":"湖州","start":3,"end":5,"probability":0.9}]}]',
        WHO,
        True,
    ),
    "CLUENER": (
        '{"text":"陆羽在湖州","label":{"人物":{"陆羽":[[0,1]]},"地点":{"湖州":[[3,4]]}}}',
        WHO,
        True,
    ),
    "types, names with places": ('{"人物":[["陆羽",0,2]],"地点":[["湖州",3,5]]}', WHO, True),
    "types in a wrapper": ('{"entities":{"人物":["陆羽"],"地点":["湖州"]}}', WHO, True),
    "two wrappers": ('{"result":{"entities":{"人物":["陆羽"],"地点":["湖州"]}}}', WHO, True),
    "Chinese wrapper": ('{"实体":{"人物":["陆羽"],"地点":["湖州"]}}', WHO, True),
    "answer": ('{"answer":{"人物":["陆羽"],"地点":["湖州"]}}', WHO, True),
    "beside an explanation": (
        '{"人物":["陆羽"],"地点":["湖州"],"说明":"作品没有出现"}',
        WHO,
        True,
    ),
    "beside the sentence": ('{"sentence":"陆羽在湖州","人物":["陆羽"],"地点":["湖州"]}', WHO, True),
    "objects under types": ('{"人物":[{"name":"陆羽"}],"地点":[{"name":"湖州"}]}', WHO, True),
    "colon in the key": ('{"人物:":["陆羽"],"地点：":["湖州"]}', WHO, True),
    "spaces": ('{"人物":[" 陆羽"],"地点":["\u200b湖州 "]}', WHO, True),
    "type with an aside": ('{"人物（PER）":["陆羽"],"地点（LOC）":["湖州"]}', WHO, False),
    # one object an item
    "entities": (
        '{"entities":[{"name":"陆羽","type":"人物"},{"name":"湖州","type":"地点"}]}',
        WHO,
        True,
    ),
    "IEPile": (
        '[{"entity":"陆羽","entity_type":"人物"},{"entity":"湖州","entity_type":"地点"}]',
        WHO,
        True,
    ),
    "OneKE": (
        '{"entity_list":[{"name":"陆羽","type":"人物"},{"name":"湖州","type":"地点"}]}',
        WHO,
        True,
    ),
    "text and label": (
        '[{"text":"陆羽","label":"人物"},{"text":"湖州","label":"地点"}]',
        WHO,
        True,
    ),
    "entity and label": (
        '[{"entity":"陆羽","label":"人物"},{"entity":"湖州","label":"地点"}]',
        WHO,
        True,
    ),
    "pipeline": (
        '[{"entity_group":"人物","word":"陆羽","score":0.99,"start":0,"end":2},'
        '{"entity_group":"地点","word":"湖州","score":0.98,"start":3,"end":5}]',
        WHO,
        True,
    ),
    "pipeline, tokens": (
        '[{"entity":"B-人物","word":"陆","index":1},{"entity":"I-人物","word":"羽","index":2},'
        '{"entity":"B-地点","word":"湖","index":4},{"entity":"I-地点","word":"州","index":5}]',
        WHO,
        True,
    ),
    "GLiNER": (
        '[{"start":0,"end":2,"text":"陆羽","label":"人物","score":0.9},'
        '{"start":3,"end":5,"text":"湖州","label":"地点","score":0.8}]',
        WHO,
        True,
    ),
    "实体名称": (
        '[{"实体名称":"陆羽","实体类型":"人物"},{"实体名称":"湖州","实体类型":"地点"}]',
        WHO,
        True,
    ),
    "名称和类别": (
        '{"实体列表":[{"名称":"陆羽","类别":"人物"},{"名称":"湖州","类别":"地点"}]}',
        WHO,
        True,
    ),
    "文本和标签": ('[{"文本":"陆羽","标签":"人物"},{"文本":"湖州","标签":"地点"}]', WHO, True),
    "LangExtract": (
        '{"extractions":[{"人物":"陆羽","人物_attributes":{"朝代":"唐"}},'
        '{"地点":"湖州","地点_attributes":{}}]}',
        WHO,
        True,
    ),
    "LangExtract, classes": (
        '{"extractions":[{"extraction_class":"人物","extraction_text":"陆羽","attributes":{}},'
        '{"extraction_class":"地点","extraction_text":"湖州","attributes":{}}]}',
        WHO,
        True,
    ),
    "camel case": (
        '{"namedEntities":[{"entityText":"陆羽","entityType":"人物"},'
        '{"entityText":"湖州","entityType":"地点"}]}',
        WHO,
        True,
    ),
    "mention and category": (
        '{"mentions":[{"mention":"陆羽","category":"人物"},{"mention":"湖州","category":"地点"}]}',
        WHO,
        True,
    ),
    "nodes": (
        '{"nodes":[{"name":"陆羽","label":"人物"},{"name":"湖州","label":"地点"}],"edges":[]}',
        WHO,
        True,
    ),
    "type with its names": (
        '[{"type":"人物","entities":["陆羽"]},{"type":"地点","entities":["湖州"]}]',
        WHO,
        True,
    ),
    "类型和名称列表": (
        '[{"类型":"人物","实体":["陆羽"]},{"类型":"地点","实体":["湖州"]}]',
        WHO,
        True,
    ),
    "sentence beside": (
        '[{"text":"陆羽在湖州","entity":"陆羽","type":"人物"},'
        '{"text":"陆羽在湖州","entity":"湖州","type":"地点"}]',
        WHO,
        True,
    ),
    "tool call": (
        '{"name":"extract_entities","arguments":{"entities":[{"name":"陆羽","type":"人物"},'
        '{"name":"湖州","type":"地点"}]}}',
        WHO,
        True,
    ),
    "tool call in tags": (
        '<tool_call>\n{"name":"ner","arguments":{"人物":["陆羽"],"地点":["湖州"]}}\n</tool_call>',
        WHO,
        True,
    ),
    "JSON in a text": ('{"result":"{\\"人物\\":[\\"陆羽\\"],\\"地点\\":[\\"湖州\\"]}"}', WHO, True),
    "columns": ('{"实体":["陆羽","湖州"],"类型":["人物","地点"]}', WHO, True),
    "one item": ('{"name":"陆羽","type":"人物"}', [("陆羽", "人物")], True),
    "objects on lines": (
        '{"name":"陆羽","type":"人物"}\n{"name":"湖州","type":"地点"}',
        WHO,
        True,
    ),
    "objects in a list of prose": (
        '1. {"name":"陆羽","type":"人物"}\n2. {"name":"湖州","type":"地点"}',
        WHO,
        True,
    ),
    # the type is the value
    "names with their type": ('{"陆羽":"人物","湖州":"地点"}', WHO, True),
    "names with an object": ('{"陆羽":{"type":"人物"},"湖州":{"type":"地点"}}', WHO, True),
    # pairs
    "pairs": ('[["陆羽","人物"],["湖州","地点"]]', WHO, True),
    "pairs, type first": ('[["人物","陆羽"],["地点","湖州"]]', WHO, True),
    "tuples": ("[('陆羽', '人物'), ('湖州', '地点')]", WHO, True),
    "pairs with places": ('[["陆羽","人物",0,2],["湖州","地点",3,5]]', WHO, True),
    "tuples without quotes": ("(陆羽, 人物), (湖州, 地点)", WHO, True),
    "full-width tuples": ("（陆羽，人物）\n（湖州，地点）", WHO, True),
    "list of texts with types": ('["陆羽（人物）","湖州（地点）"]', WHO, True),
    "list of texts with colons": ('["人物：陆羽","地点：湖州"]', WHO, True),
    # lines
    "lines": ("人物：陆羽\n地点：湖州", WHO, True),
    "lines and none": ("人物：陆羽\n地点：湖州\n作品：无", WHO, True),
    "one line": ("人物：陆羽；地点：湖州", WHO, True),
    "one line, bars": ("人物: 陆羽 | 地点: 湖州", WHO, True),
    "full stops": ("人物：陆羽。地点：湖州。", WHO, True),
    "bullets": ("- 人物：陆羽\n- 地点：湖州", WHO, True),
    "bold bullets": ("- **人物**：陆羽\n- **地点**：湖州", WHO, True),
    "bold with the colon": ("* **人物：** 陆羽\n* **地点：** 湖州", WHO, True),
    "numbers": ("1. 人物：陆羽\n2. 地点：湖州", WHO, True),
    "prose before": ("好的，结果如下：\n\n人物：陆羽\n地点：湖州", WHO, True),
    "prose around": (
        "以下是识别出的实体：\n\n- **人物**：陆羽\n- **地点**：湖州\n\n"
        "如果还有别的句子，随时告诉我！",
        WHO,
        True,
    ),
    "headings": ("### 人物\n- 陆羽\n\n### 地点\n- 湖州", WHO, True),
    "bold headings": ("**人物**\n- 陆羽\n\n**地点**\n- 湖州", WHO, True),
    "labels over bullets": ("人物：\n- 陆羽\n地点：\n- 湖州", WHO, True),
    "Chinese numbers": ("一、人物\n1. 陆羽\n二、地点\n1. 湖州", WHO, True),
    "names with types": ("1. 陆羽（人物）\n2. 湖州（地点）", WHO, True),
    "names with dashes": ("- 陆羽 - 人物\n- 湖州 - 地点", WHO, True),
    "names with arrows": ("陆羽 -> 人物\n湖州 -> 地点", WHO, True),
    "names with colons": ("陆羽：人物\n湖州：地点", WHO, True),
    "name, type, why": ("- 陆羽：人物，唐代人\n- 湖州：地点，在浙江", WHO, True),
    "labelled parts": ("实体：陆羽，类型：人物\n实体：湖州，类型：地点", WHO, True),
    "labelled blocks": (
        "实体名称：陆羽\n实体类型：人物\n\n实体名称：湖州\n实体类型：地点",
        WHO,
        True,
    ),
    "YAML": ("人物:\n  - 陆羽\n地点:\n  - 湖州", WHO, True),
    "YAML items": ("- name: 陆羽\n  type: 人物\n- name: 湖州\n  type: 地点", WHO, True),
    "YAML wrapper": (
        "entities:\n  - text: 陆羽\n    label: 人物\n  - text: 湖州\n    label: 地点",
        WHO,
        True,
    ),
    "YAML, one line": ("人物: [陆羽]\n地点: [湖州]", WHO, True),
    "YAML in a fence": ("```yaml\n人物:\n- 陆羽\n地点:\n- 湖州\n```", WHO, True),
    # tables
    "table": ("| 实体 | 类型 |\n|---|---|\n| 陆羽 | 人物 |\n| 湖州 | 地点 |", WHO, True),
    "table, type first": (
        "| 类型 | 实体 |\n| :-- | :-- |\n| 人物 | 陆羽 |\n| 地点 | 湖州 |",
        WHO,
        True,
    ),
    "table with numbers": (
        "| 序号 | 实体名称 | 实体类型 | 说明 |\n|---|---|---|---|\n"
        "| 1 | 陆羽 | 人物 | 茶人 |\n| 2 | 湖州 | 地点 | 城市 |",
        WHO,
        True,
    ),
    "table of types": ("| 人物 | 地点 |\n|---|---|\n| 陆羽 | 湖州 |", WHO, True),
    "table, prose before": (
        "识别结果：\n\n| 实体 | 类别 |\n| --- | --- |\n| **陆羽** | 人物 |\n| **湖州** | 地点 |",
        WHO,
        True,
    ),
    "CSV": ("实体,类型\n陆羽,人物\n湖州,地点", WHO, True),
    "CSV without a header": ("陆羽,人物\n湖州,地点", WHO, True),
    "tabs": ("陆羽\t人物\n湖州\t地点", WHO, True),
    # tags
    "inline tags": ("<人物>陆羽</人物>在<地点>湖州</地点>写成茶经", WHO, True),
    "XML": (
        '<entities><entity type="人物">陆羽</entity><entity type="地点">湖州</entity></entities>',
        WHO,
        True,
    ),
    "XML parts": (
        "<entities>\n<entity><name>陆羽</name><type>人物</type></entity>\n"
        "<entity><name>湖州</name><type>地点</type></entity>\n</entities>",
        WHO,
        True,
    ),
    "inline bars": ("［陆羽｜人物］在［湖州｜地点］写成茶经", WHO, True),
    "inline links": ("[陆羽](人物)在[湖州](地点)写成茶经", WHO, True),
    "answer tags": ("<answer>人物：陆羽\n地点：湖州</answer>", WHO, True),
    "BIO": ("陆 B-人物\n羽 I-人物\n在 O\n湖 B-地点\n州 I-地点", WHO, True),
    # models' own languages
    "UIE's SEL": ("((人物: 陆羽) (地点: 湖州))", WHO, True),
    "UIE's marks": (
        "<extra_id_0><extra_id_0>人物<extra_id_5>陆羽<extra_id_1>"
        "<extra_id_0>地点<extra_id_5>湖州<extra_id_1><extra_id_1>",
        WHO,
        True,
    ),
    "InstructUIE": ("人物: 陆羽; 地点: 湖州", WHO, True),
    "GoLLIE": ('result = [人物(span="陆羽"), 地点(span="湖州")]', WHO, True),
    "KnowCoder": ('results = [人物("陆羽"), 地点("湖州")]', WHO, True),
    "LightRAG": ('("entity"<|>陆羽<|>人物<|>茶人)##("entity"<|>湖州<|>地点<|>城市)', WHO, True),
    # damage
    "fence": ('```json\n{"人物":["陆羽"],"地点":["湖州"]}\n```', WHO, True),
    "single quotes": ("{'人物': ['陆羽'], '地点': ['湖州']}", WHO, True),
    "comments": ('{"人物":["陆羽"], // 茶人\n"地点":["湖州"]}', WHO, True),
    "cut": ('{"人物":["陆羽"],"地点":["湖州"],"作品":["茶', WHO, True),
    "inner quotes": (
        '{"人物":["人称"茶圣"","陆羽"]}',
        [('人称"茶圣"', "人物"), ("陆羽", "人物")],
        True,
    ),
    # thoughts and drafts
    "thoughts": (
        '<think>也许是{"人物":["皎然"]}？</think>\n{"人物":["陆羽"],"地点":["湖州"]}',
        WHO,
        True,
    ),
    "example first": (
        '例如 {"人物":["皎然"]}，所以答案是 {"人物":["陆羽"],"地点":["湖州"]}',
        WHO,
        True,
    ),
    "draft first": (
        '初稿：{"人物":["陆羽","湖州"]}\n检查：湖州是地点。\n最终答案：{"人物":["陆羽"],"地点":["湖州"]}',
        WHO,
        True,
    ),
    "objects side by side": ('{"人物":["陆羽"]}\n{"地点":["湖州"]}', WHO, True),
    "objects under labels": ('人物：{"人物":["陆羽"]}\n地点：{"地点":["湖州"]}', WHO, True),
    # nothing
    "nothing": ("{}", [], True),
    "nothing in a list": ('{"entities":[]}', [], True),
    "nothing in words": ("没有实体", [], True),
    "nothing in a sentence": ("文中没有符合要求的实体。", [], True),
    "nothing in English": ("No entities found.", [], True),
    "nothing of each type": ('{"人物":["无"],"地点":["无"]}', [], True),
}
# What nobody can tell: refused, with a schema and without.
NER_REFUSED = {
    "places alone": '{"entities":[[0,2,"人物"],[3,5,"地点"]]}',
    "names alone": '{"entities":["陆羽","湖州"]}',
    "a list of names": '["陆羽","湖州"]',
    "a text": '{"text":"陆羽在湖州写成茶经"}',
    "an explanation": '{"说明":"没有找到合适的格式"}',
    "an error": '{"error":"invalid request","code":400}',
    "prose": "陆羽是唐代人，他说：茶者，南方之嘉木也",
    "a summary": '{"summary":"陆羽写成茶经"}',
    "unknown keys": '[{"甲":"陆羽","乙":"湖州"}]',
    "GPT-NER": "@@陆羽##在湖州写成茶经",
    "two names": '[["陆羽","湖州"]]',
    "the question again": "请问要抽取哪些类型？",
}

# ---- RE: 《茶经》 by 陆羽, born in 竟陵

ONE = [("陆羽", "出生地", "竟陵")]
TWO = [("陆羽", "出生地", "竟陵"), ("茶经", "作者", "陆羽")]
RE_SCHEMA = ["出生地", "作者", "国籍"]
RE_SHAPES = {
    "types": ('{"出生地":[["陆羽","竟陵"]],"作者":[["茶经","陆羽"]]}', TWO, True),
    "types, empty ones": ('{"出生地":[["陆羽","竟陵"]],"作者":[],"国籍":null}', ONE, True),
    "types, one pair": ('{"出生地":["陆羽","竟陵"]}', ONE, True),
    "OneKE": (
        '{"出生地":[{"head":"陆羽","tail":"竟陵"}],"作者":[{"head":"茶经","tail":"陆羽"}]}',
        TWO,
        True,
    ),
    "IEPile": (
        '{"出生地":[{"subject":"陆羽","object":"竟陵"}],"作者":[{"subject":"茶经","object":"陆羽"}]}',
        TWO,
        True,
    ),
    "types, texts": ('{"出生地":["陆羽→竟陵"],"作者":["茶经→陆羽"]}', TWO, True),
    "types, maps": ('{"出生地":{"陆羽":"竟陵"},"作者":{"茶经":"陆羽"}}', TWO, True),
    "head, relation, tail": (
        '[{"head":"陆羽","relation":"出生地","tail":"竟陵"},'
        '{"head":"茶经","relation":"作者","tail":"陆羽"}]',
        TWO,
        True,
    ),
    "relation list": (
        '{"relation_list":[{"head":"陆羽","tail":"竟陵","relation":"出生地"}]}',
        ONE,
        True,
    ),
    "subject, predicate, object": (
        '{"relations":[{"subject":"陆羽","predicate":"出生地","object":"竟陵"}]}',
        ONE,
        True,
    ),
    "subject, relation, object": (
        '[{"subject":"陆羽","relation":"出生地","object":"竟陵"}]',
        ONE,
        True,
    ),
    "DuIE": (
        '{"text":"陆羽生于竟陵","spo_list":[{"predicate":"出生地","subject":"陆羽",'
        '"subject_type":"人物","object":{"@value":"竟陵"},"object_type":{"@value":"地点"}}]}',
        ONE,
        True,
    ),
    "YAYI-UIE": ('[{"relation":"出生地","head":"陆羽","tail":"竟陵"}]', ONE, True),
    "头实体": ('[{"头实体":"陆羽","关系":"出生地","尾实体":"竟陵"}]', ONE, True),
    "主体": ('{"关系列表":[{"主体":"陆羽","关系":"出生地","客体":"竟陵"}]}', ONE, True),
    "主语": ('{"三元组":[{"主语":"陆羽","谓语":"出生地","宾语":"竟陵"}]}', ONE, True),
    "numbered ends": ('[{"entity1":"陆羽","entity2":"竟陵","relation":"出生地"}]', ONE, True),
    "实体1": ('[{"实体1":"陆羽","实体2":"竟陵","关系类型":"出生地"}]', ONE, True),
    "source and target": (
        '{"edges":[{"source":"陆羽","target":"竟陵","label":"出生地"}]}',
        ONE,
        True,
    ),
    "type of relation": ('[{"head":"陆羽","type":"出生地","tail":"竟陵"}]', ONE, True),
    "ends with types": (
        '[{"head":{"name":"陆羽","type":"人物"},"relation":"出生地",'
        '"tail":{"name":"竟陵","type":"地点"}}]',
        ONE,
        True,
    ),
    "types beside": (
        '[{"head":"陆羽","head_type":"人物","relation":"出生地","tail":"竟陵","tail_type":"地点"}]',
        ONE,
        True,
    ),
    "several tails": (
        '[{"subject":"陆羽","predicate":"出生地","object":["竟陵","天门"]}]',
        [("陆羽", "出生地", "竟陵"), ("陆羽", "出生地", "天门")],
        True,
    ),
    "entities beside": (
        '{"entities":[{"name":"陆羽","type":"人物"}],'
        '"relations":[{"head":"陆羽","type":"出生地","tail":"竟陵"}]}',
        ONE,
        True,
    ),
    "entities by number": (
        '{"entities":[{"id":1,"name":"陆羽"},{"id":2,"name":"竟陵"}],'
        '"relations":[{"head":1,"type":"出生地","tail":2}]}',
        ONE,
        True,
    ),
    "UIE": (
        '[{"人物":[{"text":"陆羽","start":0,"end":2,"relations":'
        '{"出生地":[{"text":"竟陵","start":4,"end":6}]}}]}]',
        ONE,
        True,
    ),
    "under the head": ('[{"entity":"陆羽","relations":{"出生地":"竟陵"}}]', ONE, True),
    "heads as keys": ('{"陆羽":{"出生地":"竟陵"},"茶经":{"作者":"陆羽"}}', TWO, True),
    "triples": ('[["陆羽","出生地","竟陵"],["茶经","作者","陆羽"]]', TWO, True),
    "triples, relation first": ('[["出生地","陆羽","竟陵"]]', ONE, True),
    "triples, relation last": ('[["陆羽","竟陵","出生地"]]', ONE, True),
    "triples with types": ('[["陆羽","人物","出生地","竟陵","地点"]]', ONE, True),
    "triples in a wrapper": ('{"triples":[["陆羽","出生地","竟陵"]]}', ONE, True),
    "tuples": ("(陆羽, 出生地, 竟陵)\n(茶经, 作者, 陆羽)", TWO, True),
    "kg2instruction": ("(陆羽,出生地,竟陵)\nNAN\nNAN", ONE, True),
    "full-width tuples": ("（陆羽，出生地，竟陵）、（茶经，作者，陆羽）", TWO, True),
    "numbered tuples": ("1. (陆羽, 出生地, 竟陵)\n2. (茶经, 作者, 陆羽)", TWO, True),
    "angle brackets": ("<陆羽, 出生地, 竟陵>", ONE, True),
    "list of texts": ('["陆羽-出生地-竟陵","茶经-作者-陆羽"]', TWO, True),
    "arrows": ("陆羽 → 出生地 → 竟陵\n茶经 → 作者 → 陆羽", TWO, True),
    "labelled arrows": ("- 陆羽 --出生地--> 竟陵\n- 茶经 --作者--> 陆羽", TWO, True),
    "Cypher": ("陆羽 -[出生地]-> 竟陵", ONE, True),
    "bars": ("陆羽 | 出生地 | 竟陵\n茶经 | 作者 | 陆羽", TWO, True),
    "calls": ("出生地(陆羽, 竟陵)\n作者(茶经, 陆羽)", TWO, True),
    "lines": ("出生地：陆羽→竟陵\n作者：茶经→陆羽", TWO, True),
    "bold lines": ("- **出生地**：陆羽 → 竟陵\n- **作者**：茶经 → 陆羽", TWO, True),
    "InstructUIE": ("出生地: 陆羽, 竟陵; 作者: 茶经, 陆羽", TWO, True),
    "labelled parts": (
        "头实体：陆羽，关系：出生地，尾实体：竟陵\n头实体：茶经，关系：作者，尾实体：陆羽",
        TWO,
        True,
    ),
    "labelled blocks": ("主体：陆羽\n关系：出生地\n客体：竟陵", ONE, True),
    "headings": ("### 出生地\n- 陆羽→竟陵\n### 作者\n- 茶经→陆羽", TWO, True),
    "table": (
        "| 头实体 | 关系 | 尾实体 |\n|---|---|---|\n"
        "| 陆羽 | 出生地 | 竟陵 |\n| 茶经 | 作者 | 陆羽 |",
        TWO,
        True,
    ),
    "CSV": ("主体,关系,客体\n陆羽,出生地,竟陵", ONE, True),
    "YAML": ("- head: 陆羽\n  relation: 出生地\n  tail: 竟陵", ONE, True),
    "XML": ('<relation type="出生地" head="陆羽" tail="竟陵"/>', ONE, True),
    "XML parts": (
        "<triple><subject>陆羽</subject><predicate>出生地</predicate><object>竟陵</object></triple>",
        ONE,
        True,
    ),
    "SEL": ("((人物: 陆羽 (出生地: 竟陵)) (地点: 竟陵))", ONE, True),
    "REBEL": ("<triplet> 陆羽 <subj> 竟陵 <obj> 出生地", ONE, True),
    "GoLLIE": ('result = [Relation(type="出生地", head="陆羽", tail="竟陵")]', ONE, True),
    "prose with a schema": ("陆羽的出生地是竟陵。", ONE, False),
    "thoughts": ('先想……</think>[["陆羽","出生地","竟陵"]]', ONE, True),
    "nothing": ("文中没有相关关系。", [], True),
    "nothing in a list": ('{"relations":[]}', [], True),
    "NAN": ('{"出生地":"NAN","作者":["NAN"]}', [], True),
}
RE_REFUSED = {
    "pairs alone": '[["陆羽","竟陵"]]',
    "entities": '{"entities":[{"name":"陆羽","type":"人物"}]}',
    "GraphRAG": '("relationship"<|>陆羽<|>竟陵<|>陆羽生在竟陵<|>9)',
    "prose": "陆羽和竟陵有关，因为他生在那里。",
    "no relation": '[{"head":"陆羽","tail":"竟陵"}]',
    "numbers": '{"relations":[{"head":1,"type":"出生地","tail":2}]}',
    "a text": '{"text":"陆羽生于竟陵"}',
}

# ---- EE: 快舟火箭 carries a satellite from 酒泉

UP = [("发射", "升空", [("航天器", "天目一号"), ("地点", "酒泉")])]
EE_SCHEMA = {"发射": ["航天器", "地点", "时间"], "地震": ["震级", "地点"]}
EE_SHAPES = {
    "types": (
        '{"发射":[{"trigger":"升空","arguments":{"航天器":["天目一号"],"地点":["酒泉"]}}]}',
        UP,
        True,
    ),
    "OneKE": (
        '{"发射":[{"trigger":"升空","arguments":{"航天器":"天目一号","地点":"酒泉","时间":"NAN"}}],'
        '"地震":[]}',
        UP,
        True,
    ),
    "event list": (
        '{"event_list":[{"event_type":"发射","event_trigger":"升空",'
        '"event_argument":{"航天器":"天目一号","地点":"酒泉"}}]}',
        UP,
        True,
    ),
    "IEPile": (
        '[{"event_type":"发射","event_trigger":"升空","arguments":'
        '{"航天器":"天目一号","地点":"酒泉"}}]',
        UP,
        True,
    ),
    "DuEE": (
        '{"text":"天目一号从酒泉升空","event_list":[{"event_type":"发射","trigger":"升空",'
        '"trigger_start_index":7,"arguments":[{"argument_start_index":0,"role":"航天器",'
        '"argument":"天目一号","alias":[]},{"argument_start_index":5,"role":"地点",'
        '"argument":"酒泉","alias":[]}]}]}',
        UP,
        True,
    ),
    "YAYI-UIE": (
        '[{"type":"发射","trigger":"升空","arguments":{"航天器":["天目一号"],"地点":["酒泉"]}}]',
        UP,
        True,
    ),
    "事件类型": (
        '[{"事件类型":"发射","触发词":"升空","论元":{"航天器":"天目一号","地点":"酒泉"}}]',
        UP,
        True,
    ),
    "论元 as objects": (
        '{"事件":[{"事件类型":"发射","触发词":"升空","论元":'
        '[{"角色":"航天器","内容":"天目一号"},{"角色":"地点","内容":"酒泉"}]}]}',
        UP,
        True,
    ),
    "roles and names": (
        '{"events":[{"type":"发射","trigger":"升空","arguments":'
        '[{"role":"航天器","name":"天目一号"},{"role":"地点","name":"酒泉"}]}]}',
        UP,
        True,
    ),
    "roles and texts": (
        '{"events":[{"type":"发射","trigger":{"text":"升空"},"arguments":'
        '[{"role":"航天器","text":"天目一号"},{"role":"地点","text":"酒泉"}]}]}',
        UP,
        True,
    ),
    "arguments of one key": (
        '[{"event_type":"发射","trigger":"升空","arguments":[{"航天器":"天目一号"},{"地点":"酒泉"}]}]',
        UP,
        True,
    ),
    "arguments in texts": (
        '[{"event_type":"发射","trigger":"升空","arguments":["航天器：天目一号","地点：酒泉"]}]',
        UP,
        True,
    ),
    "arguments in pairs": (
        '[{"event_type":"发射","trigger":"升空","arguments":[["航天器","天目一号"],["地点","酒泉"]]}]',
        UP,
        True,
    ),
    "flat": (
        '[{"event_type":"发射","trigger":"升空","航天器":"天目一号","地点":"酒泉"}]',
        UP,
        True,
    ),
    "flat under the type": (
        '{"发射":{"trigger":"升空","航天器":"天目一号","地点":"酒泉"}}',
        UP,
        True,
    ),
    "UIE": (
        '[{"发射触发词":[{"text":"升空","start":7,"end":9,"relations":'
        '{"航天器":[{"text":"天目一号"}],"地点":[{"text":"酒泉"}]}}]}]',
        UP,
        True,
    ),
    "nested event": (
        '[{"event":{"type":"发射","trigger":"升空"},"arguments":{"航天器":"天目一号","地点":"酒泉"}}]',
        UP,
        True,
    ),
    "result": (
        '{"result":{"发射":[{"触发词":"升空","论元":{"航天器":["天目一号"],"地点":["酒泉"]}}]}}',
        UP,
        True,
    ),
    "lines": ("发射：升空；航天器=天目一号；地点=酒泉", UP, True),
    "labelled block": (
        "事件类型：发射\n触发词：升空\n论元：\n- 航天器：天目一号\n- 地点：酒泉",
        UP,
        True,
    ),
    "labelled bold": (
        "**事件类型**：发射\n**触发词**：升空\n**论元**：\n"
        "  - **航天器**：天目一号\n  - **地点**：酒泉",
        UP,
        True,
    ),
    "numbered events": (
        "### 事件1\n- 事件类型：发射\n- 触发词：升空\n- 论元：航天器：天目一号；地点：酒泉",
        UP,
        True,
    ),
    "YAML": (
        "- event_type: 发射\n  trigger: 升空\n  arguments:\n    航天器: 天目一号\n    地点: 酒泉",
        UP,
        True,
    ),
    "table of roles": (
        "| 事件类型 | 触发词 | 航天器 | 地点 |\n|---|---|---|---|\n"
        "| 发射 | 升空 | 天目一号 | 酒泉 |",
        UP,
        True,
    ),
    "InstructUIE": (
        "(type:发射, trigger:升空, arguments:(name:天目一号,role:航天器), (name:酒泉,role:地点))",
        UP,
        True,
    ),
    "SEL": ("((发射: 升空 (航天器: 天目一号) (地点: 酒泉)))", UP, True),
    "XML": (
        '<event type="发射" trigger="升空"><argument role="航天器">天目一号</argument>'
        '<argument role="地点">酒泉</argument></event>',
        UP,
        True,
    ),
    "trigger alone": ('[{"event_type":"发射","trigger":"升空"}]', [("发射", "升空", [])], True),
    "thoughts": (
        "<think>地震？不是。</think>"
        '{"发射":[{"trigger":"升空","arguments":{"航天器":["天目一号"],"地点":["酒泉"]}}]}',
        UP,
        True,
    ),
    "nothing": ("没有事件", [], True),
    "nothing in a list": ('{"events":[]}', [], True),
}
EE_REFUSED = {
    "no trigger": '[{"event_type":"发射","arguments":{"航天器":"天目一号"}}]',
    "no type": '[{"trigger":"升空","arguments":{"航天器":"天目一号"}}]',
    "entities": '{"entities":[{"name":"酒泉","type":"地点"}]}',
    "prose": "天目一号从酒泉升空，是一次发射。",
    "a text": '{"text":"天目一号升空"}',
    "places": '{"events":[[7,9,"发射"]]}',
}
