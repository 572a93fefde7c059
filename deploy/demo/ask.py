#!/usr/bin/env python3
"""Asks the base and each demo adapter the same questions, all at the same time, and prints the answers side by side.

    ask.py URL

Called by deploy/quickstart once the server is ready. Needs nothing but Python.
"""
import json
import os
import shutil
import sys
import textwrap
import threading
import time
import urllib.error
import urllib.request

WHO = [None, "sql", "shout", "pirate"]  # None: the base
QUESTIONS = ["What is the average price of cars?", "Tell me one thing about cats."]
MAX_TOKENS = 48


class Asked(threading.Thread):
    """One request; all of them start together."""

    def __init__(self, url, adapter, question, start):
        super().__init__(daemon=True)
        self.url, self.adapter, self.question, self.start_line = url, adapter, question, start
        self.answer, self.tokens, self.seconds, self.error = "", 0, 0.0, None

    def run(self):
        body = {"adapter": self.adapter, "messages": [{"role": "user", "content": self.question}], "temperature": 0,
                "max_tokens": MAX_TOKENS}
        request = urllib.request.Request(self.url + "/v1/chat/completions", json.dumps(body).encode(),
                                         {"content-type": "application/json"})
        self.start_line.wait()
        began = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=300) as r:
                reply = json.load(r)
        except urllib.error.HTTPError as e:
            self.error = f"{e.code}: {e.read().decode(errors='replace')}"
            return
        except OSError as e:
            self.error = str(e)
            return
        self.seconds = time.monotonic() - began
        choice = reply["choices"][0]
        self.answer = choice["message"]["content"].strip() + ("..." if choice["finish_reason"] == "length" else "")
        self.tokens = reply["usage"]["completion_tokens"]


def print_table(question, asked, width):
    plain = (sys.stdout.encoding or "").lower() not in ("utf-8", "utf8")
    bar, rule, cross = (" | ", "-", "-+-") if plain else (" │ ", "─", "─┼─")
    column = (width - len(bar) * (len(asked) - 1)) // len(asked)
    print(f"\n{question}\n")
    cells = [textwrap.wrap(a.answer, column) + ["", f"{a.tokens} tokens, {a.tokens / a.seconds:.1f}/s"] for a in asked]
    print(bar.join((a.adapter or "the base").ljust(column) for a in asked).rstrip())
    print(cross.join(rule * column for _ in asked))
    for i in range(max(map(len, cells)) - 1):
        print(bar.join((c[i] if i < len(c) - 1 else "").ljust(column) for c in cells).rstrip())
    print(bar.join(c[-1].ljust(column) for c in cells).rstrip())


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    start = threading.Event()
    with urllib.request.urlopen(sys.argv[1] + "/v1/models", timeout=60) as r:
        there = {m["id"] for m in json.load(r)["data"]}  # somebody may have tried DELETE
    asked = [[Asked(sys.argv[1], who, question, start) for who in WHO if who is None or who in there] for question in QUESTIONS]
    everyone = [a for row in asked for a in row]
    for a in everyone:
        a.start()
    began = time.monotonic()
    start.set()
    for a in everyone:
        a.join()
    seconds = time.monotonic() - began
    for a in everyone:
        if a.error:
            raise SystemExit(f"ask: {a.adapter or 'the base'}: {a.error}")
    width = max(80, min(100, shutil.get_terminal_size((100, 24)).columns))
    for question, row in zip(QUESTIONS, asked):
        print_table(question, row, width)
    tokens = sum(a.tokens for a in everyone)
    print(f"\n{len(everyone)} requests at once, one copy of the weights: {tokens} tokens in {seconds:.1f} s,"
          f" {tokens / seconds:.1f} tokens/s on {os.cpu_count()} CPU cores.")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
