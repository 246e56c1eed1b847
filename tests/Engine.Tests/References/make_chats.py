"""Records what the public chat templates make of dialogs, by Jinja as transformers runs it: chats.json.

    python3 make_chats.py FOLDER          (Debian's python3-jinja2; FOLDER has the templates, NAME.jinja, as their models carry them)

The templates are other people's and not part of this repository; their hashes are, and what they print. What is known of templates that FOLDER lacks stays.
"""

import datetime
import glob
import hashlib
import json
import os
import sys

import jinja2.sandbox

HERE = os.path.dirname(os.path.abspath(__file__))
TODAY = datetime.date(2025, 3, 5)

DIALOGS = [
    [("user", "Hi")],
    [("system", "Be brief."), ("user", "Hi")],
    [("user", "Hi"), ("assistant", "Hello!"), ("user", "What is 2 + 2?")],
    [("system", "Be brief.\n\nAnd kind."), ("user", "Hi"), ("assistant", "Hello!"), ("user", "Why?"), ("assistant", "Because."), ("user", "\u65e5\u672c \U0001f600?")],
    [("user", "a\n\nb"), ("assistant", "<think>\nHm.\n</think>\n\nYes."), ("user", "c")],
    [("user", "a"), ("assistant", "</think>x</think>\n\n\ny"), ("user", "")],
    [("system", ""), ("user", "a\nb")],
    [("user", " leading and trailing \n")],
]

# The tokens that end and begin a text, and whether the tokenizer puts a space in front of each piece of text (SentencePiece).
FAMILIES = {
    "zephyr": ("<s>", "</s>", True), "mistral": ("<s>", "</s>", True), "tekken": ("<s>", "</s>", False),
    "llama": ("<|begin_of_text|>", "<|eot_id|>", False), "chatml": ("", "<|im_end|>", False), "deepseek": ("<\uff5cbegin\u2581of\u2581sentence\uff5c>", "<\uff5cend\u2581of\u2581sentence\uff5c>", False),
}


def family(name):
    lower = name.lower()
    if "mistral" in lower:
        return "tekken" if "nemo" in lower or "small" in lower else "mistral"
    if "deepseek" in lower:
        return "deepseek"
    return "zephyr" if "zephyr" in lower else "llama" if "llama" in lower else "chatml"


def render(template, messages, bos, eos, **more):
    def fail(message):
        raise jinja2.exceptions.TemplateError(message)

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = fail
    environment.globals["strftime_now"] = TODAY.strftime
    return environment.from_string(template).render(messages=messages, bos_token=bos, eos_token=eos, add_generation_prompt=True, **more)


paths = sorted(glob.glob(os.path.join(sys.argv[1], "*.jinja")))
with open(os.path.join(HERE, "chats.json"), encoding="utf-8") as file:
    names = {os.path.basename(path)[:-len(".jinja")] for path in paths}
    cases = [case for case in json.load(file) if case["name"] not in names]
for path in paths:
    name = os.path.basename(path)[:-len(".jinja")]
    text = open(path, encoding="utf-8").read()
    bos, eos, prefix = FAMILIES[family(name)]
    normal = text.replace("\\n", "\n")
    sha = hashlib.sha256((normal[:-1] if normal.endswith("\n") else normal).encode()).hexdigest()
    for dialog in DIALOGS:
        for thinking in (True, False) if "enable_thinking" in text else (True,):
            messages = [{"role": role, "content": content} for role, content in dialog]
            try:
                rendered = render(text, messages, bos, eos, **({} if thinking else {"enable_thinking": False}))
            except jinja2.exceptions.TemplateError:
                continue  # a dialog that the model was not taught
            cases.append({"name": name, "sha256": sha, "bos": bos, "eos": eos, "prefix": prefix, "thinking": thinking, "messages": messages, "rendered": rendered})
with open(os.path.join(HERE, "chats.json"), "w", encoding="utf-8") as file:
    json.dump(cases, file, ensure_ascii=True, indent=0, separators=(",", ":"))
    file.write("\n")
print(f"{len(cases)} cases of {len(set(case['sha256'] for case in cases))} templates")
for name, sha in sorted({(case["name"], case["sha256"]) for case in cases}):
    print(sha, name)
