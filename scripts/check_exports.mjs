// Ask transformers.js for ids, texts, prompts and greedy answers of a student; see check_exports.py.
//
//     node check_exports.mjs FOLDER_WITH_NODE_MODULES < question.json

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";

const require = createRequire(join(process.argv[2], "here.js"));
const { AutoTokenizer, AutoModelForCausalLM, env } = require("@huggingface/transformers");

const question = JSON.parse(readFileSync(0, "utf8"));
env.allowRemoteModels = false;
env.localModelPath = dirname(question.student);
const name = basename(question.student);

const plain = { add_special_tokens: false };
const tokenizer = await AutoTokenizer.from_pretrained(name);
const ids = question.texts.map((text) => tokenizer.encode(text, plain));
// It refuses to decode nothing.
const decoded = ids.map((row) => (row.length ? tokenizer.decode(row) : ""));
// It reads no chat_template.jinja by itself.
const asked = { chat_template: question.template, tokenize: false, add_generation_prompt: true };
const prompts = question.messages.map((talk) => tokenizer.apply_chat_template(talk, asked));

const settings = { dtype: "fp32", device: "cpu", session_options: { intraOpNumThreads: 1 } };
const model = await AutoModelForCausalLM.from_pretrained(name, settings);
const answers = [];
for (const prompt of question.prompts) {
  const inputs = tokenizer(prompt, plain);
  const wanted = { max_new_tokens: question.tokens, do_sample: false };
  const output = await model.generate({ ...inputs, ...wanted });
  answers.push(output.tolist()[0].slice(inputs.input_ids.dims[1]).map(Number));
}
console.log(JSON.stringify({ ids, decoded, prompts, answers }));
