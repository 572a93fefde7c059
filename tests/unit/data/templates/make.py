#!/usr/bin/env python3
"""Writes what jinja2 makes of the templates in this folder, for tests/unit/test_text_template*.c.

    make.py                      conversations.json and language.json, which are committed
    make.py random N SEED FILE   N random templates in the form of language.json, to be checked with
                                 test_text_template_language FILE

jinja2 is set up as transformers 5 does for chat templates, but for a fixed time of day. Needs jinja2 3.1.
"""
import copy
import datetime
import glob
import json
import os
import random
import re
import sys
import warnings

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

import grammar
from language import CASES

HERE = os.path.dirname(os.path.abspath(__file__))
NOW = datetime.datetime(2024, 7, 26, 13, 5, 9)


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_inside"), [], [], body).set_lineno(line)

    def _inside(self, caller):
        return caller()


def environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                        extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = NOW.strftime
    return env


ENV = environment()


def render(source, messages, tools, add, kwargs):
    """The text, or the exception."""
    try:
        return ENV.from_string(source).render(copy.deepcopy({
            "messages": messages, "tools": tools, "documents": None, "add_generation_prompt": add,
            "bos_token": "<s>", "eos_token": "</s>", **kwargs}))
    except Exception as e:
        return e


def user(text):
    return {"role": "user", "content": text}


def said(text):
    return {"role": "assistant", "content": text}


def called(arguments):
    call = {"id": "abc123def", "type": "function", "function": {"name": "get_weather", "arguments": arguments}}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


SYSTEM = {"role": "system", "content": " You are terse.\n"}
RESULT = {"role": "tool", "name": "get_weather", "tool_call_id": "abc123def", "content": '{"temp": 21}'}
TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": 'Get the <weather> & "more" für é',
        "parameters": {"type": "object", "properties": {
            "city": {"type": "string", "description": "The city"},
            "days": {"type": "integer", "description": "n", "enum": [1, 2.5, None, True]},
            "deep": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": ["string", "null"]}}}}},
            "required": ["city"]},
        "return": {"type": "string", "description": "ret"}}},
    {"type": "function", "function": {"name": "noop", "description": "Nothing",
                                      "parameters": {"type": "object", "properties": {}}}}]
CONVERSATIONS = {
    "one": [user("Hi")],
    "system": [SYSTEM, user("Hi  there ")],
    "multi": [SYSTEM, user("a"), said("<think>\nhm\n</think>\n\nb"), user("c ünï 日本 😀"), said("d"), user("e\n")],
    "answered": [user("a"), said("b")],
    "tool": [SYSTEM, user("weather?"), called({"city": "Paris", "days": 3}), RESULT, said("21 degrees")],
    "tools": [user("weather?"), called({"city": "Paris"}), RESULT, said("x"), user("more"), called({}), RESULT],
    "uncertain": [user("weather?"), {**called('{"city": "Paris"}'), "content": None}, RESULT],
    "parts": [user([{"type": "text", "text": "hello"}, {"type": "image"}])],
    "alien": [{"role": "alien", "content": "x"}],
    "twice": [user("a"), user("b")],
    "empty": [],
}
KWARGS = [{}, {"enable_thinking": False}, {"date_string": "1 Jan 2025", "builtin_tools": ["code_interpreter", "brave"]},
          {"custom_tools": TOOLS, "tools_in_user_message": False},
          {"documents": [{"doc_id": 1, "text": "T"}], "controls": {"citations": True}}]


def conversations():
    """Every template with every conversation, both ways to end; tools and other variables with a few."""
    rows = []
    for path in sorted(glob.glob(os.path.join(HERE, "*.jinja"))):
        with open(path, newline="") as f:
            source = f.read()
        for name, messages in CONVERSATIONS.items():
            wants = [(None, False, 0), (None, True, 0)]
            if name == "tool":
                wants += [(TOOLS, True, 0), (TOOLS, True, 3)]
            if name == "one":
                wants += [(TOOLS, True, 2), (None, True, 1), (None, True, 4)]
            for tools, add, kwargs in wants:
                got = render(source, messages, tools, add, KWARGS[kwargs])
                row = {"template": os.path.basename(path), "messages": name, "tools": tools is not None,
                       "add_generation_prompt": add, "kwargs": kwargs}
                if isinstance(got, jinja2.exceptions.TemplateError) and type(got) is jinja2.exceptions.TemplateError:
                    row["raises"] = str(got)
                elif isinstance(got, Exception):
                    row["fails"] = True
                else:
                    row["text"] = got
                rows.append(row)
    write("conversations.json", {"conversations": CONVERSATIONS, "tools": TOOLS, "kwargs": KWARGS}, rows)


def language(templates, path):
    rows = []
    unstable = re.compile(r"at 0x|generator object|bound method|built-in method|_iterator|<function|reversed object")
    for source in templates:
        got = render(source, grammar.MESSAGES, None, True, grammar.VARIABLES)
        if isinstance(got, Exception):
            rows.append({"template": source, "fails": True})
        elif not unstable.search(got):
            rows.append({"template": source, "text": got})
    write(path, {"messages": grammar.MESSAGES, "variables": grammar.VARIABLES}, rows)


def write(path, head, rows):
    """One case a line."""
    with open(os.path.join(HERE, path), "w") as f:
        for key, value in head.items():
            f.write(("{" if key == next(iter(head)) else " ") + json.dumps(key) + ": "
                    + json.dumps(value, ensure_ascii=False) + ",\n")
        f.write(' "cases": [\n' + ",\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\n]}\n")
    print(path, len(rows), "cases,", sum("text" in r for r in rows), "of them rendered")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if len(sys.argv) == 5 and sys.argv[1] == "random":
        make = grammar.Grammar(random.Random(int(sys.argv[3])))
        language([make.template() for _ in range(int(sys.argv[2]))], os.path.abspath(sys.argv[4]))
    else:
        conversations()
        language(CASES, "language.json")
