"""PyYAML over libyaml, as the yardstick of tests/it/yaml.rs.

peer.py read                reads paths from standard input, and prints one line of JSON for each:
                            {"tree": ...} or {"refused": "why"}
peer.py load                the same, but with the values that CSafeLoader gives, for YAML 1.1
peer.py sample DIR JSON...  writes each JSON document, its long maps thinned out, to DIR, and
                            again as YAML in every style that PyYAML has; prints the YAML paths

libyaml decides about the structure; scalars are resolved here by the core schema of YAML 1.2.
"""

import json
import multiprocessing
import os
import re
import sys

import yaml
from yaml import events

JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?\Z")
OTHER_NUMBER = re.compile(r"([-+]?)([0-9]*)(?:\.([0-9]*))?([eE][-+]?[0-9]+)?\Z")
CORE = "tag:yaml.org,2002:"
STYLES = {
    "block": {"default_flow_style": False},
    "narrow": {"default_flow_style": False, "width": 20, "allow_unicode": True},
    "flow": {"default_flow_style": True},
    "folded": {"default_style": ">", "width": 40},
    "literal": {"default_style": "|"},
    "single": {"default_style": "'", "width": 40},
    "double": {"default_style": '"', "width": 40},
}
SAMPLE_BYTES = 150_000


class Number(str):
    """A number as its JSON numeral."""


class Refused(Exception):
    pass


def number(text):
    if JSON_NUMBER.match(text):
        return Number(text)
    for prefix, digits, base in (("0x", "0-9a-fA-F", 16), ("0o", "0-7", 8)):
        if re.match(f"{prefix}[{digits}]+\\Z", text) and int(text[2:], base) < 2**127:
            return Number(int(text[2:], base))
    match = OTHER_NUMBER.match(text)
    if not match or not (match[2] or match[3]):
        return None
    sign, whole = match[1].strip("+"), match[2].lstrip("0") or "0"
    return Number(sign + whole + ("." + match[3] if match[3] else "") + (match[4] or ""))


def scalar(event):
    text, is_plain = event.value, event.style in (None, "")
    tag = (event.tag or "").removeprefix(CORE)
    if tag in ("!", "str", "binary", "timestamp"):
        return text
    if not is_plain and tag not in ("int", "float", "bool", "null"):
        return text
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text.lower() in ("true", "false") and text in (text.lower(), text.upper(), text.title()):
        return text.lower() == "true"
    found = number(text)
    return text if found is None else found


class Composer:
    """The tree of the first document; what follows it must be YAML too, but is not read."""

    def __init__(self, source):
        self.events = yaml.parse(source, Loader=yaml.CSafeLoader)
        self.anchors = {}

    def compose(self):
        tree = None
        for event in self.events:
            if isinstance(event, events.DocumentStartEvent):
                tree = self.node(next(self.events))[0]
                next(self.events)
                next(self.events)
                break
        return tree

    def node(self, event):
        """The value of a node, and what it is called as a key."""
        if isinstance(event, events.AliasEvent):
            if event.anchor not in self.anchors:
                raise Refused("an alias without its anchor")
            return self.anchors[event.anchor]
        if event.anchor is not None:
            self.anchors.pop(event.anchor, None)
        if isinstance(event, events.ScalarEvent):
            node = (scalar(event), event.value)
        elif isinstance(event, events.SequenceStartEvent):
            items = []
            while not isinstance(inner := next(self.events), events.SequenceEndEvent):
                items.append(self.node(inner)[0])
            node = (items, None)
        else:
            node = (self.mapping(), None)
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def mapping(self):
        own, merged = {}, []
        while not isinstance(event := next(self.events), events.MappingEndEvent):
            is_merge = (
                isinstance(event, events.ScalarEvent)
                and event.value == "<<"
                and event.style in (None, "")
            )
            name = self.node(event)[1]
            if name is None:
                raise Refused("a key is no scalar")
            value = self.node(next(self.events))[0]
            if is_merge:
                merged.append(value)
            else:
                own[name] = value
        for value in reversed(merged):
            for source in value if isinstance(value, list) else [value]:
                if not isinstance(source, dict):
                    raise Refused("a merge key names no mapping")
                for name, inherited in source.items():
                    own.setdefault(name, inherited)
        return own


def to_json(value):
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        members = (f"{json.dumps(name)}:{to_json(inner)}" for name, inner in value.items())
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(to_json, value)) + "]"
    return json.dumps(value)


def read(path):
    sys.setrecursionlimit(20_000)
    try:
        with open(path, "rb") as file:
            return '{"tree":' + to_json(Composer(file.read()).compose()) + "}"
    except (yaml.YAMLError, Refused, UnicodeError) as error:
        return json.dumps({"refused": " ".join(str(error).split())})


def load(path):
    try:
        with open(path, "rb") as file:
            tree = yaml.load(file, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError) as error:
        return json.dumps({"refused": " ".join(str(error).split())})
    try:
        return json.dumps({"tree": tree}, default=str)
    except ValueError:
        return '{"tree":"a ring"}'


def thin_out(value, keep, depth=0):
    if isinstance(value, dict):
        names = list(value)
        if depth and len(names) > keep:
            names = names[:: -(-len(names) // keep)]
        return {name: thin_out(value[name], keep, depth + 1) for name in names}
    if isinstance(value, list):
        return [thin_out(item, keep, depth + 1) for item in value[:keep]]
    return value


def sample(task):
    directory, path = task
    with open(path, encoding="utf-8") as file:
        whole = json.load(file)
    keep = 64
    while len(json.dumps(thinned := thin_out(whole, keep))) > SAMPLE_BYTES and keep > 2:
        keep = keep * 3 // 4
    name = os.path.join(directory, os.path.basename(path))
    with open(name, "w", encoding="utf-8") as file:
        json.dump(thinned, file)
    written = []
    for style, options in STYLES.items():
        written.append(f"{name}.{style}.yaml")
        with open(written[-1], "w", encoding="utf-8") as file:
            yaml.dump(thinned, file, Dumper=yaml.CSafeDumper, sort_keys=False, **options)
    return written


if __name__ == "__main__":
    with multiprocessing.Pool() as pool:
        if sys.argv[1] in ("read", "load"):
            answer = read if sys.argv[1] == "read" else load
            for line in pool.imap(answer, sys.stdin.read().splitlines(), chunksize=4):
                print(line)
        else:
            for paths in pool.imap(sample, [(sys.argv[2], path) for path in sys.argv[3:]]):
                print("\n".join(paths))
