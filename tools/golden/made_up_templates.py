"""Makes up Jinja templates: expressions and statements put together at random, right and wrong ones."""

import random

TEXTS = [
    "", "a", "Hello World", "  x\t", "é👩‍👩‍👧z", "ΑΣ ς", "ßtraße", "one,two,,three", "12", "-7", " 3.5 ", "0x1F", "1e3",
    "line\nnext\r\nlast\u2028end\n", "\ufeffBOM\u00a0", "\x1f\x85 x", "{'a': 1}", "it's \"so\"", "back\\slash", "%s %d", "{} {0}",
    "<b>&amp;</b>", "ǆ ŉ ﬁ", "²½Ⅷ①", "\u200bzw", "aXbXc", "tests in THIS case", "😀", "\U0001d54f", "user",
]  # fmt: skip
NUMBERS = ["0", "1", "2", "3", "-1", "7", "10", "255", "1000000", "12345678901234567890", "1_000", "0x1f", "0b101"]
FLOATS = ["0.0", "1.0", "0.5", "2.5", "-0.5", "3.14159", "1e16", "1e-5", "123456.789", "1e300", "0.1", "2e0", "100.0"]
VARIABLES = ["messages", "text", "number", "float", "none_value", "flag", "items", "mapping", "missing", "nested", "tools"]
LETTERS = "abcdefghijklm"


def literal(rng: random.Random, text: str) -> str:
    """A text as a string of Jinja, with escapes or as it is."""
    mark = rng.choice("'\"")
    out = []
    for character in text:
        if character in (mark, "\\") or character in "\r\n\x1f\x85\u2028":
            escape = {"\n": "\\n", "\r": "\\r", mark: "\\" + mark, "\\": "\\\\"}.get(character)
            out.append(escape or f"\\u{ord(character):04x}")
        elif rng.random() < 0.02:
            out.append(f"\\U{ord(character):08x}" if rng.random() < 0.5 else character)
        else:
            out.append(character)
    return mark + "".join(out) + mark


class Maker:
    def __init__(self, rng: random.Random):
        self.rng = rng
        self.names = list(VARIABLES)

    def pick(self, *makers):
        return self.rng.choice(makers)()

    def small(self) -> str:
        return str(self.rng.randint(-3, 6))

    def text(self, depth: int) -> str:
        rng = self.rng
        if depth <= 0 or rng.random() < 0.3:
            return rng.choice(["text", literal(rng, rng.choice(TEXTS)), "messages[0].content", "messages[-1]['role']"])
        inner = lambda: self.text(depth - 1)  # noqa: E731
        short = lambda: literal(rng, rng.choice(["a", "x", " ", "", "X", ",", "é", "l", "ab", "\n", "s", "#"]))  # noqa: E731
        method = lambda: rng.choice([  # noqa: E731
            "strip()", f"strip({short()})", f"lstrip({short()})", f"rstrip({short()})", "lower()", "upper()", "title()",
            "capitalize()", "swapcase()", f"replace({short()}, {short()})", f"replace({short()}, {short()}, {self.small()})",
            f"center({self.small()}0, {short()})", f"ljust(12, {literal(rng, '*')})", "rjust(9)", "zfill(8)", "expandtabs(4)",
            f"removeprefix({short()})", f"removesuffix({short()})", f"join({self.list(depth - 1)})", "split()[0]",
            f"split({short()})[-1]", "splitlines()[0]", "format(1, 'b', x=2.5)", "strip().upper()", f"join({inner()})",
        ])  # fmt: skip
        filters = lambda: rng.choice([  # noqa: E731
            "trim", f"trim({short()})", "upper", "lower", "title", "capitalize", f"replace({short()}, {short()})", "string",
            f"replace({short()}, {short()}, 2)", "indent", "indent(2, true)", "indent('> ', blank=true)", "center(20)",
            "truncate(9)", "truncate(5, true, '..', 0)", "reverse", f"default({short()})", "default('none', true)", "tojson",
            "urlencode", f"format({self.any(1)})", "first", "last", "tojson(indent=2)", "wordcount|string", "join('-')",
        ])  # fmt: skip
        return self.pick(
            lambda: f"{inner()} + {inner()}",
            lambda: f"({inner()} ~ {self.any(depth - 1)})",
            lambda: f"({inner()}).{method()}",
            lambda: f"({inner()} | {filters()})",
            lambda: f"({inner()})[{self.slice()}]",
            lambda: f"({inner()}) * {self.small()}",
            lambda: f"({inner()} if {self.condition(depth - 1)} else {inner()})",
            lambda: self.percent(depth),
            lambda: self.format(depth),
        )

    def slice(self) -> str:
        part = lambda: self.rng.choice(["", "", self.small()])  # noqa: E731
        return self.rng.choice([self.small(), f"{part()}:{part()}", f"{part()}:{part()}:{self.rng.choice(['-1', '2', '', '-2'])}"])

    def percent(self, depth: int) -> str:
        rng = self.rng
        flags = "".join(rng.sample("-+ #0", rng.randint(0, 2)))
        width = rng.choice(["", "", "6", "12"])
        precision = rng.choice(["", "", ".0", ".2", ".5"])
        kind = rng.choice("sssrdiufFeEgGxXoc%a")
        value = self.any(1) if rng.random() < 0.3 else self.text(0) if kind in "sra" else self.number(0)
        if rng.random() < 0.2:
            return f"('<%(k){flags}{width}{precision}{kind}>' % {{'k': {value}}})"
        if rng.random() < 0.2:
            return f"('<%{flags}{width}{precision}{kind} %s>' % ({value}, {self.any(1)}))"
        return f"('<%{flags}{width}{precision}{kind}>' % ({value},))" if kind != "%" else "('%d%%' % 3)"

    def format(self, depth: int) -> str:
        rng = self.rng
        align = rng.choice(["", "", "<", ">", "^", "=", "*<", "é^", "0>"])
        sign = rng.choice(["", "", "+", " "])
        width = rng.choice(["", "5", "012", "9"])
        group = rng.choice(["", "", "", ",", "_"])
        precision = rng.choice(["", "", ".0", ".3"])
        kind = rng.choice(["", "", "s", "d", "f", "e", "g", "x", "X", "b", "o", "%", "n", "c", "G"])
        value = self.text(0) if kind == "s" else self.pick(lambda: self.number(0), lambda: self.any(1))
        spec = f"{align}{sign}{rng.choice(['', '', '#'])}{width}{group}{precision}{kind}"
        return rng.choice([
            f"'[{{:{spec}}}]'.format({value})", f"'{{0!r}} {{0:{spec}}}'.format({value})", f"'{{m.role}} {{m[content]:>{width or 4}}}'.format(m=messages[0])",
            f"'{{:{{}}}}|{{{{}}}}'.format({value}, {literal(rng, spec)})", f"'{{1}}{{0}}'.format({value}, {self.any(1)})",
        ])  # fmt: skip

    def number(self, depth: int) -> str:
        rng = self.rng
        if depth <= 0 or rng.random() < 0.4:
            return rng.choice([rng.choice(NUMBERS), rng.choice(NUMBERS), rng.choice(FLOATS), "number", "float", "true"])
        inner = lambda: self.number(depth - 1)  # noqa: E731
        return self.pick(
            lambda: f"({inner()} {rng.choice(['+', '-', '*', '/', '//', '%'])} {inner()})",
            lambda: f"{inner()} {rng.choice(['+', '-', '*', '//'])} {inner()}",
            lambda: f"({self.small()} ** {self.small()})",
            lambda: f"-{inner()}",
            lambda: f"({self.any(depth - 1)} | length)",
            lambda: f"({self.text(depth - 1)} | {rng.choice(['int', 'float', 'int(7)', 'int(base=16)', 'wordcount', 'length', 'count'])})",
            lambda: f"({inner()} | {rng.choice(['abs', 'round', 'round(1)', 'round(-1)', 'int', 'float', 'round(2, chr)', 'round(method=%r)' % 'floor'])})",
            lambda: f"({self.text(depth - 1)}).{rng.choice(['find', 'rfind', 'count', 'index'])}({literal(rng, rng.choice(['a', 'l', 'X', '']))}{rng.choice(['', ', 1', ', -3, 9'])})",
            lambda: f"({self.list(depth - 1)} | {rng.choice(['sum', 'min', 'max', 'length', 'first', 'last', 'sum(start=2)'])})",
            lambda: f"[{inner()}, {inner()}].{rng.choice(['count', 'index'])}({inner()})",
        )

    def list(self, depth: int) -> str:
        rng = self.rng
        if depth <= 0 or rng.random() < 0.3:
            return rng.choice(["items", "messages", "[]", "[1, 2, 3]", "['b', 'A', 'c', 'a']", "(1, 'x')", "range(5)", "nested.list", "['x',]"])
        inner = lambda: self.list(depth - 1)  # noqa: E731
        return self.pick(
            lambda: f"[{', '.join(self.any(depth - 1) for _ in range(rng.randint(0, 3)))}]",
            lambda: f"({self.text(depth - 1)}).split({rng.choice(['', repr(','), repr(' '), 'none, 1', repr('X') + ', 1', 'maxsplit=1'])})",
            lambda: f"({self.text(depth - 1)}).{rng.choice(['splitlines()', 'splitlines(true)', 'rsplit(none, 1)', 'partition(%r)' % 'X', 'rpartition(%r)' % ' ', 'rsplit(%r, 1)' % 'o'])}",
            lambda: f"({inner()} | {rng.choice(['list', 'sort', 'sort(reverse=true)', 'unique | list', 'reverse | list', 'batch(2) | list', 'slice(2) | list', 'map(%r) | list' % 'string', 'select | list', 'reject | list', 'batch(2, 0) | list', 'slice(3, none) | list', 'map(%r, %r) | list' % ('default', 1)])})",
            lambda: f"(messages | {rng.choice(['selectattr', 'rejectattr'])}('role', {rng.choice(['%r, %r' % ('equalto', 'user'), '%r, %r' % ('in', ['user', 'system']), '%r' % 'defined', '%r, %r' % ('ne', 'user')])}) | list)",
            lambda: f"(messages | map(attribute='{rng.choice(['role', 'content', 'nothing', 'content.0'])}'{rng.choice(['', ', default=1'])}) | list)",
            lambda: f"({inner()} | {rng.choice(['select', 'reject'])}('{rng.choice(['string', 'number', 'odd', 'defined', 'mapping', 'none'])}') | list)",
            lambda: f"({inner()})[{rng.choice(['1:', ':-1', '::-1', ':2', '-2:', '::2'])}]",
            lambda: f"({inner()} + {inner()})",
            lambda: f"{rng.choice(['mapping', 'nested', 'messages[0]'])}.{rng.choice(['items()', 'keys()', 'values()'])} | list",
            lambda: f"({rng.choice(['mapping', 'nested'])} | {rng.choice(['dictsort', 'items | list', 'list', 'dictsort(reverse=true)', 'dictsort(by=%r)' % 'value'])})",
            lambda: f"(messages | groupby('role') | list)",
        )

    def mapping(self, depth: int) -> str:
        rng = self.rng
        return self.pick(
            lambda: "mapping", lambda: "nested", lambda: "messages[0]",
            lambda: "{" + ", ".join(f"{self.pick(lambda: repr(rng.choice(LETTERS)), lambda: self.number(0))}: {self.any(depth - 1)}" for _ in range(rng.randint(0, 3))) + "}",
            lambda: f"dict(a={self.any(depth - 1)}, b=1)", lambda: f"dict(mapping, z={self.any(depth - 1)})",
        )  # fmt: skip

    def condition(self, depth: int) -> str:
        rng = self.rng
        if depth <= 0:
            return rng.choice(["true", "false", "flag", "messages", "missing", "none", "not flag", "text", "items | length > 2"])
        value = lambda: self.any(depth - 1)  # noqa: E731
        test = lambda: rng.choice([  # noqa: E731
            "defined", "undefined", "none", "string", "number", "mapping", "sequence", "iterable", "boolean", "true", "false",
            "integer", "float", "odd", "even", "divisibleby(3)", "divisibleby 2", "lower", "upper", "callable", "in [1, 'a', 'user']",
            "equalto 1", "eq(none)", "ne 'a'", "gt 1", "lessthan(5)", "sameas none", "sameas(true)", "escaped", "filter", "test",
        ])  # fmt: skip
        return self.pick(
            lambda: f"{value()} {rng.choice(['==', '!=', '==', '<', '>=', 'in', 'not in'])} {value()}",
            lambda: f"{value()} is {rng.choice(['', 'not '])}{test()}",
            lambda: f"({self.condition(depth - 1)} {rng.choice(['and', 'or'])} {self.condition(depth - 1)})",
            lambda: f"not {self.condition(depth - 1)}",
            lambda: f"{self.number(0)} < {self.number(0)} {rng.choice(['<', '<=', '=='])} {self.number(0)}",
            lambda: f"{self.text(depth - 1)} {rng.choice(['==', '<', '>', 'in', 'not in'])} {self.text(depth - 1)}",
            lambda: f"({self.text(depth - 1)}).{rng.choice(['startswith', 'endswith'])}({rng.choice([repr('H'), repr(''), '(%r, %r)' % ('a', 'H'), repr('x') + ', 1'])})",
            lambda: f"({self.text(depth - 1)}).{rng.choice(['isalpha', 'isdigit', 'isalnum', 'islower', 'isupper', 'isspace', 'istitle', 'isdecimal', 'isascii', 'isprintable', 'isidentifier'])}()",
        )  # fmt: skip

    def any(self, depth: int) -> str:
        rng = self.rng
        kind = rng.random()
        if kind < 0.3:
            return self.text(depth)
        if kind < 0.5:
            return self.number(depth)
        if kind < 0.65:
            return self.list(depth)
        if kind < 0.75:
            return self.mapping(depth)
        if kind < 0.85:
            return f"({self.condition(depth)})"
        if kind < 0.9:
            return rng.choice(["none", "true", "missing", "missing.more", "mapping.nothing", "messages[9]", "nested['list'][1]", "mapping.get('b')"])
        return rng.choice(self.names)

    def statement(self, depth: int) -> str:
        rng = self.rng
        dash = lambda: rng.choice(["", "", "", "-", "+"])  # noqa: E731
        end = lambda: rng.choice(["", "", "-"])  # noqa: E731
        blank = lambda: rng.choice(["", "", "\n", " ", "  \n", "\n  ", "\r\n", " x ", "\n\n"])  # noqa: E731
        tag = lambda text: f"{{%{dash()} {text} {end()}%}}"  # noqa: E731
        body = lambda: "".join(self.statement(depth - 1) for _ in range(rng.randint(1, 3))) if depth > 0 else self.output()  # noqa: E731
        name = rng.choice(["x", "y", "text", "loop_messages"])
        loop = lambda: rng.choice([  # noqa: E731
            "{{ loop.index }}", "{{ loop.index0 }}{{ loop.revindex }}", "{% if loop.last %}L{% endif %}", "{{ loop.first }}", "{{ loop.length }}",
            "{{ loop.previtem }}", "{{ loop.nextitem }}", "{% if loop.index > 1 %}{% break %}{% endif %}", "{% if loop.first %}{% continue %}{% endif %}",
            "{{ loop.cycle('a', 'b') }}", "{{ x }}", "{% set y = x %}", "{{ loop.depth }}", "{{ loop.changed(x) }}", "",
        ])  # fmt: skip
        choices = [
            lambda: self.output(),
            lambda: f"{{{{{dash()} {self.any(2)} {end()}}}}}",
            lambda: tag(f"if {self.condition(2)}") + body() + (tag("else") + body() if rng.random() < 0.5 else "") + tag("endif"),
            lambda: tag(f"if {self.condition(1)}") + body() + tag(f"elif {self.condition(1)}") + body() + tag("endif"),
            lambda: tag(f"for x in {self.list(1)}" + rng.choice(["", f" if {self.condition(1)}", " if x"])) + loop() + body() + loop() + (tag("else") + body() if rng.random() < 0.3 else "") + tag("endfor"),
            lambda: tag(f"for a, b in {rng.choice(['mapping.items()', 'nested | dictsort', '[(1, 2), (3, 4)]', 'nested | items', '[[1, 2], [3]]'])}") + "{{ a }}={{ b }}" + body() + tag("endfor"),
            lambda: tag(f"set {name} = {self.any(2)}") + f"{{{{ {name} }}}}",
            lambda: tag(f"set {name}{rng.choice(['', ' | trim', ' | upper | trim'])}") + body() + tag("endset") + f"[{{{{ {name} }}}}]",
            lambda: tag("set ns = namespace(n=0, found=false)") + tag(f"for x in {self.list(1)}") + tag("set ns.n = ns.n + 1") + body() + tag("endfor") + "{{ ns.n }}{{ ns }}",
            lambda: tag("macro m(a, b='d')") + "<{{ a }}|{{ b }}" + rng.choice(["", "{{ kwargs }}", "{{ varargs }}", "{{ caller() }}"]) + ">" + tag("endmacro") + rng.choice(["{{ m(1) }}", "{{ m(1, b=2) }}", "{{ m(b='q') }}", "{{ m(1, 2, 3) }}", "{{ m(1, z=3) }}", "{% call m(1) %}" + body() + "{% endcall %}", "{{ m }}{{ m.name }}"]),
            lambda: tag(f"with x = {self.any(1)}, y = 2") + body() + "{{ x }}" + tag("endwith"),
            lambda: tag(f"filter {rng.choice(['upper', 'trim', 'indent(2)', 'replace(%r, %r) | title' % ('a', 'b')])}") + body() + tag("endfilter"),
            lambda: rng.choice(["{# note #}", "{#- note -#}", "{# a\n b #}\n", "{% raw %}{{ x }}{% endraw %}", "{%- raw -%} {% {% endraw -%}"]),
            lambda: "{{ raise_exception(" + self.text(1) + ") }}" if rng.random() < 0.1 else self.output(),
            lambda: tag("generation") + body() + tag("endgeneration"),
            lambda: "{{ " + self.garbage() + " }}" if rng.random() < 0.5 else self.output(),
        ]  # fmt: skip
        return blank() + rng.choice(choices)() + blank()

    def garbage(self) -> str:
        rng = self.rng
        return rng.choice([
            "1 +", "a b", "items.append(1)", "mapping.pop('a')", "text.__class__", "text|nofilter", "x is notest", "range(1000000)", "(1", "1 2", "[1, 2", "{'a' 1}",
            "text.nothing()", "none()", "items[", "missing.a.b", "missing + 1", "'a' + 1", "1 + 'a'", "[] + 'a'", "-'a'", "1 < 'a'", "none | length", "5 | first", "'%d' % 'a'",
            "'%s %s' % 'a'", "'{' .format()", "'{}'.format()", "[1, 'a'] | sort", "1 / 0", "1 % 0", "'a'.join([1])", "'' .split('')", "{} | first", "{[]: 1}", "messages[0].role.upper",
            "joiner()()", "(joiner('|')() ~ 'a')", "cycler('a', 'b').next()", "dict(a=1)", "dict([(1, 2)])", "namespace(a=1).a", "range(3)[1]", "range(2, 9, 3) | list", "range(3)", "'a' 'b'", "1.5.real",
            "mapping.get('zz', 5)", "mapping['get']('a')", "text[100]", "text['upper']()", "items | map('upper') | join", "items | map(attribute='x') | list", "'a' if false", "x if x is defined", "1 if 2 else 3 if 4 else 5",
            "'\\x41\\101\\u00e9\\q\\n'", "'\\N{DASH}'", "'\\ué'", "not 1 == 2", "2 ** 3 ** 2", "-2 ** 2", "1 ~ 2 + 3", "'a' in 'abc' == true", "1 is divisibleby 1 + 1", "[1,2,3][1:][0]", "(1,)", "()", "{1: 2}[1.0]", "{true: 'x'}[1]",
            "true + 1", "1 == 1.0", "none == false", "'' == none", "[1] == [1.0]", "(1, 2) == [1, 2]", "'1' == 1", "missing == missing", "missing is none", "mapping | attr('items') is callable", "text | attr('content')",
        ])  # fmt: skip

    def output(self) -> str:
        return f"{{{{ ({self.any(2)}){' | ' + self.rng.choice(['e', 'safe', 'escape']) if self.rng.random() < 0.05 else ''} }}}}"


VALUES = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": " Hello\n"},
        {"role": "assistant", "content": "Hi 👋"},
        {"role": "user", "content": ""},
    ],
    "text": "Some Text, é 👩‍👩‍👧!",
    "number": 42,
    "float": 2.75,
    "none_value": None,
    "flag": True,
    "items": ["b", "A", "c", 3, None, 2.5, "a"],
    "mapping": {"b": 1, "a": "x", "C": None},
    "nested": {"list": [1, [2, 3], {"k": "v"}], "text": "t"},
    "tools": None,
}


def make(seed: int, count: int) -> list[str]:
    maker = Maker(random.Random(seed))
    made = []
    for i in range(count):
        if i % 4 == 0:
            made.append("".join(maker.statement(2) for _ in range(maker.rng.randint(1, 3))))
        else:
            made.append(f"{{{{ {maker.garbage() if i % 40 == 1 else maker.any(3)} }}}}")
    return made
