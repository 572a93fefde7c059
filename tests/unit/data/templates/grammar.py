"""A grammar of random templates, most of which render: for comparing this reader with jinja2 far and wide."""
VARIABLES = {
    "s": "Hello World", "u": "héllo wörld 日本 😀ß", "e": "", "n": 7, "z": 0, "neg": -3, "f": 2.5, "l": [3, 1, 2],
    "ls": ["b", "A", "c", "a"], "d": {"k": 1, "b": "two", "n": None, "nest": {"x": [1, {"y": "deep"}]}},
    "lm": [{"role": "user", "n": 2, "c": {"d": "x"}}, {"role": "Assistant", "n": 1},
           {"role": "user", "n": 3, "c": {"d": "Y"}}],
    "t": True, "fa": False, "no": None, "el": [], "ed": {}, "ws": "  a b\t\n c  ", "q": "it's \"q\"\n"}
MESSAGES = [
    {"role": "system", "content": "sys "}, {"role": "user", "content": "hi\nthere"},
    {"role": "assistant", "content": None, "tool_calls": [
        {"id": "1", "function": {"name": "f", "arguments": {"a": 1, "b": [True, None, 1.5, "é\u0001\"\\/"]}}}]}]
NAMES = list(VARIABLES) + [
    'messages', 'tools', 'undef', 'add_generation_prompt', 'bos_token'
]
INTEGERS = [
    '0', '1', '2', '3', '-1', '-2', '5', '10', '1_000', '0x1f'
]
STRINGS = [
    "'a'", '"b"', "''", "'o'", "' '", "'l'", "'Hello'", "'\\n'", "'é'", "'a,b,,c'", "'%s-%d'", "'x' 'y'", "'role'",
    "'k'", "'n'", "'\\u00e9\\x41\\101\\q'", "'  pad '", "'1'", "'42'", "' 3.5 '", "'1e3'"
]
OTHERS = [
    'true', 'false', 'none', 'True', 'None', '1.5', '0.1', '1e20', '3.0', '1e-7', '2.5e3', '[]', '{}', '()',
    '(1,)', 'range(3)|list', 'range(1,6,2)|list', 'range(3)', 'dict(a=1)', 'namespace(x=2).x', 'range(5,0,-2)[1]',
    'dict(d,z=1)', "strftime_now('%d %b %Y %H:%M')"
]
FILTERS = [
    'trim', 'upper', 'lower', 'capitalize', 'title', 'length', 'count', 'string', 'list', 'first', 'last', 'sort',
    'unique|list', 'min', 'max', 'sum', 'join', "join(', ')", "join('-', attribute='role')", 'reverse|list',
    'items|list', 'dictsort', "default('D')", "default('D', true)", "d('x')", 'int', 'float', 'int(5)', 'abs',
    'round', 'round(1)', "round(2, 'ceil')", "round(0,'floor')", 'tojson', 'tojson(indent=2)',
    'tojson(sort_keys=true)', 'tojson(ensure_ascii=true)', "tojson(separators=(',',':'))", 'tojson(true)',
    "tojson(indent='\\t')", "replace('l','L')", "replace('o','0',1)", "replace('','-')", 'indent', 'indent(2)',
    'indent(2,true)', "indent('> ', first=true, blank=true)", "map('upper')|list", "map('length')|list",
    "map(attribute='role')|list", "map(attribute='c.d', default='?')|list", "map(attribute='n')|sum",
    'select|list', 'reject|list', "select('odd')|list", "select('string')|list", "reject('none')|list",
    "selectattr('role')|list", "selectattr('role','equalto','user')|list", "rejectattr('role','==','user')|list",
    "selectattr('n','gt',1)|map(attribute='n')|list", 'sort(reverse=true)', "sort(attribute='n')",
    "sort(attribute='role,n')", 'sort(case_sensitive=true)', "min(attribute='n')", "max(attribute='n')",
    "sum(attribute='n')", 'sum(start=10)', "dictsort(by='value')", 'dictsort(reverse=true)', "trim('H d')",
    "map('default','dd')|join", "map('string')|join('|')", "map('tojson')|join(',')", 'format(1,2)',
    "unique(attribute='role')|list", "map('trim')|map('upper')|list"
]
METHODS = [
    'upper()', 'lower()', 'title()', 'capitalize()', 'strip()', "strip('H ')", 'lstrip()', 'rstrip()', 'split()',
    "split(',')", "split('l')", "split('l',1)", 'split(None,1)', 'split(maxsplit=1)', "rsplit('l',1)",
    'rsplit(None,1)', 'rsplit()', 'splitlines()', 'splitlines(true)', "startswith('H')", "endswith('d')",
    "startswith(('a','H'))", "find('o')", "rfind('o')", "find('zz')", "index('l')", "count('l')",
    "replace('l','r')", "replace('l','r',1)", "join(['x','y'])", 'join(ls)', 'isdigit()', 'isalpha()', 'isalnum()',
    'isspace()', 'islower()', 'isupper()', 'zfill(5)', 'ljust(14)', 'rjust(14)', 'center(15)', "center(14,'*')",
    "partition(' ')", "rpartition('o')", "removeprefix('He')", "removesuffix('ld')", "get('k')", "get('zz')",
    "get('zz','def')", "get('role')", 'items()', 'keys()', 'values()', 'keys()|list', 'values()|list',
    'items()|list', 'index(1)', 'count(1)', 'copy()'
]
ATTRIBUTES = [
    'role', 'content', 'k', 'nest', 'nest.x', 'b', 'x', '0', '1', 'items', 'c.d', 'real_nothing', 'tool_calls'
]
TESTS = [
    'defined', 'undefined', 'none', 'not none', 'string', 'number', 'integer', 'float', 'boolean', 'true', 'false',
    'mapping', 'iterable', 'sequence', 'odd', 'even', 'divisibleby(3)', 'divisibleby 2', "in [1,2,'a']",
    "not in ['b']", 'eq 7', "equalto('a')", 'ne 1', 'lt 5', 'gt(2)', 'ge 7', 'le 7', 'sameas none', 'sameas(true)',
    'upper', 'lower', 'callable', 'not defined'
]
OPERATORS = [
    '+', '-', '*', '/', '//', '%', '**', '~'
]
COMPARISONS = [
    '==', '!=', '<', '<=', '>', '>=', 'in', 'not in'
]
SLICED = [
    's', 'u', 'l', 'ls', 'messages', 'ws', 'q', 'lm', "s.split('l')", '(l+ls)', 'el', 'e', 'd', 'n'
]
BOUNDS = [
    '', '', '1', '-2', '0', '-1', '10', 'no', '3'
]
SIMPLE = [
    's|upper', 'l|length', 'x|string', 'x ~ 1', 'x|tojson', "x|default('D')", "ls|join(',')",
    "lm|map(attribute='role')|list", 'a|length', '[a, x]', 'x in [1,2]', 'x is string', 'x == 1', 'ns.v', 'not x',
    'x|int', 'x|string|trim', 'loop is defined', 'd.k', 'messages[0].role', 'x.role', '(x|string)[0]', 'u[::-1]',
    "lm|selectattr('n','gt',1)|list|length", "a or 'A'", '(1,2)', 'range(2)|list', 'a', 'b', 'x', 'y'
]
OVER = [
    'l', 'ls', 'messages', 'lm', 'd', 'd.items()', 'range(3)', 's', 'el', 'u',
    "lm|selectattr('role','equalto','user')", "ls|map('upper')", 'range(4)|reverse', 'undef'
]
LOOP = [
    'loop.index', 'loop.index0', 'loop.first', 'loop.last', 'loop.length', 'loop.revindex', 'loop.revindex0',
    'loop.previtem', 'loop.nextitem', "loop.cycle('a','b')", 'loop.changed(x)', 'loop', 'loop.depth'
]
SPACE = [
    '', '', '\n', ' ', '  ', '\n\n', '\t', ' \n ', '\r\n', 'x', '\n  ', '  \n'
]


class Grammar:
    def __init__(self, random):
        self.pick = random.choice
        self.chance = lambda p: random.random() < p
        self.below = random.randrange

    def template(self):
        if self.chance(0.5):
            return "{{ %s }}" % self.expression(1 + self.below(4))
        return "{% set ns = namespace(v=0) %}" + self.body(1 + self.below(3), False, False)

    def atom(self):
        return self.pick(self.pick([NAMES, NAMES, NAMES, INTEGERS, STRINGS, OTHERS]))

    def expression(self, depth):
        if depth <= 0 or self.chance(0.2):
            return self.atom()
        one, two, three = (self.expression(depth - 1) for _ in range(3))
        return self.pick([
            lambda: "(%s)|%s" % (one, self.pick(FILTERS)),
            lambda: "(%s).%s" % (one, self.pick(METHODS)),
            lambda: "(%s).%s" % (one, self.pick(ATTRIBUTES)),
            lambda: "(%s)[%s]" % (one, two),
            lambda: "%s[%s:%s%s]" % (self.pick(SLICED), self.pick(BOUNDS), self.pick(BOUNDS),
                                     self.pick(["", ":", ":2", ":-1", ":-2"])),
            lambda: "((%s) is %s)" % (one, self.pick(TESTS)),
            lambda: "(%s %s %s)" % (one, self.pick(OPERATORS), two),
            lambda: "(%s %s %s)" % (one, self.pick(COMPARISONS), two),
            lambda: "(%s %s %s %s %s)" % (one, self.pick(COMPARISONS), two, self.pick(COMPARISONS), three),
            lambda: "(%s %s %s)" % (one, self.pick(["and", "or"]), two),
            lambda: "(not %s)" % one,
            lambda: "(%s if %s else %s)" % (one, two, three),
            lambda: "(%s if %s)" % (one, two),
            lambda: "[%s, %s]" % (one, two),
            lambda: "{%s: %s}" % (self.pick(STRINGS), two),
            lambda: "%s(%s)" % (self.pick("-+"), one),
        ])()

    def value(self):
        """Mostly one that does not fail, so that what follows it is run too."""
        if self.chance(0.05):
            return self.expression(1)
        return self.pick(self.pick([NAMES, STRINGS[:11], INTEGERS, SIMPLE, SIMPLE]))

    def space(self):
        return self.pick(SPACE)

    def tag(self, words):
        return "{%%%s %s %s%%}" % (self.pick(["", "", "-", "+"]), words, self.pick(["", "", "-", "+"]))

    def show(self, value):
        return "{{%s %s %s}}" % (self.pick(["", "", "-", "+"]), value, self.pick(["", "-"]))

    def body(self, depth, in_loop, in_macro):
        return "".join(self.space() + self.statement(depth, in_loop, in_macro) + self.space()
                       for _ in range(1 + self.below(3)))

    def statement(self, depth, in_loop, in_macro):
        if depth <= 0 or self.chance(0.2):
            return self.show(self.pick(LOOP) if in_loop and self.chance(0.3) else self.value())

        def inner(loop=in_loop, macro=in_macro):
            return self.body(depth - 1, loop, macro)

        def choose():
            text = self.tag("if " + self.value()) + inner()
            if self.chance(0.3):
                text += self.tag("elif " + self.value()) + inner()
            if self.chance(0.5):
                text += self.tag("else") + inner()
            return text + self.tag("endif")

        def repeat():
            over = self.pick(OVER) if self.chance(0.9) else self.value()
            target = self.pick(["x, y", "(x, y)"]) if "items()" in over else "x"
            test = self.pick(["", "", "", " if x", " if x != 1", " if loop is defined", " if a is not defined"])
            text = self.tag("for %s in %s%s" % (target, over, test)) + inner(True)
            if self.chance(0.3):
                text += self.tag("else") + inner()
            return text + self.tag("endfor")

        def leave():
            if not in_loop:
                return self.show(self.value())
            when = self.pick(["loop.first", "loop.last", "x == 1", "x", "loop.index0 == 1"])
            return self.tag("if " + when) + self.tag(self.pick(["break", "continue"])) + self.tag("endif")

        def macro():
            if in_macro:
                return self.show(self.value())
            call = self.pick(["m(%s)" % self.value(), "m(1, x=2)", "m()", "m(1,2,3)|length", "m(1,2,3,4)", "m(zz=1)", "m"])
            return (self.tag("macro m(a, b2='def', x=a)") + inner(False, True) + self.tag("endmacro") + self.space()
                    + self.show(call))

        def caller():
            if in_macro:
                return self.show(self.value())
            return (self.tag("macro c1(a)") + "<" + self.show("caller(%s)" % self.pick(["", "a"])) + ">"
                    + self.tag("endmacro") + self.tag("call%s c1(5)" % self.pick(["", "(a)", "(a=3)"]))
                    + inner(False, True) + self.tag("endcall"))

        return self.pick([
            choose, choose, repeat, repeat, leave, macro, caller,
            lambda: "{#%s c %s#}" % (self.pick(["", "-", "+"]), self.pick(["", "-", "+"])),
            lambda: self.tag("set %s = %s" % (self.pick(["a", "b2", "x", "y", "ns.v", "s", "n"]), self.value())),
            lambda: self.tag("set %s%s" % (self.pick(["a", "b2", "x"]), self.pick(["", "|upper", "|trim|length"])))
            + inner() + self.tag("endset"),
            lambda: self.tag("with a = %s, q = a" % self.value()) + inner() + self.tag("endwith"),
            lambda: self.tag("filter " + self.pick(["upper", "trim", "replace('a','b')|title", "indent(2)"])) + inner()
            + self.tag("endfilter"),
            lambda: self.tag("generation") + inner(False) + self.tag("endgeneration"),
            lambda: "{%" + self.pick(["", "-"]) + " raw " + self.pick(["", "-"]) + "%}" + self.space()
            + "{{ x }}{% if %}" + self.space() + self.tag("endraw"),
        ])()
