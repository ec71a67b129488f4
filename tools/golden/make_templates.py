"""Writes the golden files of test/data/templates: what Python's Jinja2 makes of chat templates, set up by transformers.

    models.jsonl    each template of templates.json (by name, as its lines) with each conversation of conversations.json
    made_up.jsonl   templates that made_up_templates.py puts together at random; the first line holds their variables
    strftime.jsonl  formats of time

A line holds the text, or the error: `raised` is the message of a template's own raise_exception, and `error` is Python's.

    pip install -r requirements.txt
    python make_templates.py
"""

import argparse
import json
import re
import signal
import warnings
from datetime import datetime as RealTime
from pathlib import Path

import jinja2
from transformers.utils import chat_template_utils

from made_up_templates import VALUES, make

FOLDER = Path(__file__).resolve().parents[2] / "test/data/templates"
# A morning, and an evening in the first days of a year, which belong to the last week of the year before.
TIMES = [RealTime(2024, 7, 9, 7, 5, 3), RealTime(2023, 1, 1, 23, 59, 59), RealTime(2020, 12, 31, 0, 0, 0), RealTime(1999, 2, 28, 12, 30, 1)]
LETTERS = "aAbBcCdDeFgGhHIjklmMnpPrRSsStTuUVwWxXyYzZf%"


class FrozenTime(RealTime):
    @classmethod
    def now(cls, tz=None):
        return TIMES[0]


class TooSlow(Exception):
    pass


def give_up(*_):
    raise TooSlow


def rendered(template: str, **variables) -> dict:
    try:
        signal.alarm(3)
        return {"text": chat_template_utils._compile_jinja_template(template).render(**variables)}
    except (jinja2.TemplateSyntaxError, jinja2.UndefinedError, jinja2.TemplateRuntimeError) as error:
        return {"error": f"{type(error).__name__}: {error}"}
    except jinja2.TemplateError as error:
        return {"raised": str(error)}
    except TooSlow:
        return {}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        signal.alarm(0)


def of_models() -> list[dict]:
    conversations = json.loads((FOLDER / "conversations.json").read_text())
    tokens = json.loads((FOLDER / "tokens.json").read_text())
    lines = []
    templates = json.loads((FOLDER / "templates.json").read_text(encoding="utf-8"))
    for name, template in sorted(templates.items()):
        given = tokens.get(name, tokens["default"])
        for i, messages in enumerate(conversations):
            fixed = dict(tools=None, documents=None, add_generation_prompt=True)
            result = rendered("\n".join(template), messages=messages, **fixed, **given)
            lines.append(dict(template=name, conversation=i, **result))
    return lines


def made_up(seed: int, count: int) -> list[dict]:
    lines = [dict(variables=VALUES)]
    for template in make(seed, count):
        result = rendered(template, **VALUES)
        text = result.get("text", "")
        # Addresses in memory differ from run to run.
        if not result or len(template) > 600 or len(text) > 600 or re.search(r" [ab]t 0x", text, re.I):
            continue
        lines.append(dict(template=template, **result))
    return lines


def of_time() -> list[dict]:
    formats = [f"%{letter}" for letter in LETTERS] + ["%E" + x for x in "cCxXyY"] + ["%O" + x for x in "deHImMSuUVwWy"]
    formats += [f"%{flag}{letter}" for flag in ["-", "_", "0", "^", "#", "5", "_5", "-5", "010"] for letter in "aAbBdeHIjklmMpPSuUVwWyYGgC"]
    formats += ["%d %b %Y", "%A, %-d %B %Y, %I:%M %p", "é %%d %Y-%m-%dT%H:%M:%S%z", "", "no format", "100%%", "%F %T.%f"]
    return [
        dict(time=list(time.timetuple())[:6], format=one, text=time.strftime(one))
        for time in TIMES
        for one in formats
        if "s" not in one[-1:] or time is TIMES[0] and "%s" not in one
    ]


def write(name: str, lines: list[dict]) -> None:
    text = "".join(json.dumps(line, ensure_ascii=True) + "\n" for line in lines)
    (FOLDER / name).write_text(text)
    print(name, len(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=14)
    parser.add_argument("--count", type=int, default=2500)
    parser.add_argument("--made-up", metavar="FILE", help="write made-up templates to this file alone")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, give_up)
    chat_template_utils.datetime = FrozenTime
    if arguments.made_up:
        write(arguments.made_up, made_up(arguments.seed, arguments.count))
        return
    write("models.jsonl", of_models())
    write("made_up.jsonl", made_up(arguments.seed, arguments.count))
    write("strftime.jsonl", of_time())


if __name__ == "__main__":
    main()
