// What is refused when a model loads, with line and construct, and templates that mean harm: those end soon, with one
// sentence.
#include "harness.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "template_cases.h"

struct refusal {
        const char *source;
        const char *sentence;
};

static void refused(enum dyn_status status, const struct refusal *r)
{
        struct chat_template *t = NULL;
        struct dyn_error err = {0};
        enum dyn_status got = chat_template_compile(&t, r->source, strlen(r->source), &err);

        if (got != status || strcmp(err.text, r->sentence) != 0 || t != NULL)
                fail_msg("%s: expected \"%s\", found \"%s\"", r->source, r->sentence, err.text);
}

static void what_is_not_known_is_named_with_its_line(void **state)
{
        static const struct refusal refusals[] = {
                {"a\n{{ x | xmlattr }}", "line 2: filter xmlattr is not supported"},
                {"{% if false %}\n\n{{ x|urlize }}{% endif %}", "line 3: filter urlize is not supported"},
                {"{{ x is escaped }}", "line 1: test escaped is not supported"},
                {"\r\n\r\n{{ lipsum() }}", "line 3: function lipsum is not supported"},
                {"{{ 'a'.encode() }}", "line 1: method encode is not supported"},
                {"{{ messages.append(1) }}", "line 1: method append is not supported"},
                {"\n{% include 'a' %}", "line 2: statement include is not supported"},
                {"{% block a %}{% endblock %}", "line 1: statement block is not supported"},
                {"{% do x %}", "line 1: statement do is not supported"},
                {"{% for a in b recursive %}{% endfor %}", "line 1: a recursive for loop is not supported"},
                {"{{ x|map('nope')|list }}", "line 1: filter nope is not supported"},
                {"{{ x|selectattr('a', 'nope')|list }}", "line 1: test nope is not supported"},
                {"{{ x|join(by=1) }}", "line 1: argument by of filter join is not supported"},
                {"{{ x|trim(1, 2) }}", "line 1: filter trim with more than 1 arguments is not supported"},
                {"{{ range(*x) }}", "line 1: unpacking of arguments (*, **) is not supported"},
                {"{{ 'a' + x|safe }}", "line 1: filter safe inside of an expression is not supported"},
        };

        for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
                refused(DYN_UNSUPPORTED, &refusals[i]);
}

static void what_is_no_template_is_named_with_its_line(void **state)
{
        static const struct refusal refusals[] = {
                {"a\n{% if x %}b", "line 2: expected {% endif %}, found the end of the template"},
                {"\n\n{{ a b }}", "line 3: expected }}, found b"},
                {"{% endfor %}", "line 1: {% endfor %} closes nothing"},
                {"{{ 'a", "line 1: a string is never closed"},
                {"{{ (a] }}", "line 1: brackets do not match or nest too deep"},
                {"x{# y", "line 1: a comment is never closed"},
                {"{% raw %} ", "line 1: {% raw %} is never closed"},
                {"{{ a", "line 1: a {{ tag is never closed"},
                {"{{ a ? b }}", "line 1: a character that is no part of the language"},
                {"{% break %}", "line 1: break or continue stands outside of a loop"},
                {"{{ 99999999999999999999 }}", "line 1: an integer that does not fit 64 bits"},
                {"{{ '\\ud83d' }}", "line 1: a string has an escape that stands for no character"},
        };

        for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
                refused(DYN_INVALID, &refusals[i]);
}

static void a_name_that_the_template_defines_may_be_called(void **state)
{
        static const char source[] = "{% macro lipsum() %}x{% endmacro %}{{ lipsum() }}";
        struct dyn_error err = {0};
        struct buf out = {0};
        struct chat_template_input in = {.now = &template_now};

        assert_int_equal(template_render(source, &in, &out, &err), DYN_OK);
        assert_string_equal(out.data, "x");
        buf_free(&out);
}

// The rendering ends within seconds with a sentence that has these words.
static void ends(const char *source, const char *words)
{
        struct dyn_error err = {0};
        struct buf out = {0};
        struct chat_template_input in = {.now = &template_now};
        int64_t start = clock_ns();
        enum dyn_status status = template_render(source, &in, &out, &err);

        if (status != DYN_INVALID || strstr(err.text, words) == NULL)
                fail_msg("%.80s: expected \"%s\", found \"%s\"", source, words, err.text);
        assert_true(clock_ns() - start < (int64_t)20e9);
        buf_free(&out);
}

static void harmful_templates_end_soon(void **state)
{
        ends("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", "steps");
        ends("{{ range(100000000)|length }}", "a range is longer than 100000");
        ends("{% set n = namespace(s='x') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}", "MiB");
        ends("{% set n = namespace(s=[1]) %}{% for i in range(99) %}{% set n.s = [n.s, n.s] %}{% endfor %}{{ n.s }}",
                "steps");
        ends("{% for i in range(1000) %}{{ 'abcdefgh' * 100000 }}{% endfor %}", "writes more than 32 MiB");
        ends("{{ 'abc' * 1000000000 }}", "repeated too often");
        ends("{{ [1] * 1000000000 }}", "MiB");
        ends("{{ 'a'.center(1000000000000) }}", "repeated too often");
        ends("{{ 'a'|indent(9000000000000000000) }}", "repeated too often");
        ends("{{ [1]|tojson(indent=1000000000) }}", "repeated too often");
        ends("{% set a = 'a' * 1000000 %}{{ a.replace('', a) }}", "MiB");
        ends("{% set a = 'a' * 1000000 %}{{ a.strip('b' * 1000000 ~ 'a') }}", "steps");
        ends("{% set a = 'a' * 9000000 %}{% set b = a ~ 'b' %}{% for i in range(99999) %}{{ a ~ 'c' == b }}{% endfor "
             "%}",
                "m");
        ends("{% set a = 'a' * 999999 %}{% set b = 'b' ~ 'a' * 99999 %}{% for i in range(9999) %}{{ a.rfind(b) }}"
             "{% endfor %}",
                "steps");
        ends("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", "levels deep");
        ends("{% set n = namespace() %}{% set n.n = n %}{{ n }}", "levels deep");
        ends("{% set n = namespace(s=[]) %}{% for i in range(9999) %}{% set n.s = [n.s] %}{% endfor %}{{ n.s|tojson }}",
                "levels deep");
        ends("{{ 9223372036854775807 + 1 }}", "64 bits");
        ends("{{ (-9223372036854775807 - 1) // -1 }}", "64 bits");
        ends("{{ -(-9223372036854775807 - 1) }}", "64 bits");
        ends("{{ 2 ** 100000000000 }}", "64 bits");
}

// part n times between head and tail
static void repeated(const char *head, const char *part, int n, const char *tail, const char *words)
{
        struct buf source = {0};

        buf_puts(&source, head);
        for (int i = 0; i < n; i++)
                buf_puts(&source, part);
        buf_puts(&source, tail);
        ends(source.data, words);
        buf_free(&source);
}

static void deep_nesting_and_long_chains_do_not_reach_the_end_of_the_stack(void **state)
{
        repeated("{{ ", "(", 200000, "", "nest too deep");
        repeated("{{ ", "[", 200000, "", "nest too deep");
        repeated("{{ ", "not ", 200000, "1 }}", "levels deep");
        repeated("{{ ", "-", 200000, "1 }}", "levels deep");
        repeated("{{ ", "1 if 0 else ", 80000, "1 }}", "levels deep");
        repeated("", "{% if 1 %}", 100000, "", "levels deep");
        repeated("{{ ", "1+", 400000, "1 }}", "levels deep");
        repeated("{{ a", ".b", 400000, " }}", "levels deep");
        repeated("{{ a", "|trim", 200000, " }}", "levels deep");
        repeated("{% if 0 %}", "{% elif 0 %}", 80000, "{% endif %}{{ 1 + 'a' }}", "no meaning");
        repeated("", "x", (1 << 20) + 1, "", "at most 1048576 bytes");
}

static void every_cut_of_a_template_is_answered(void **state)
{
        static const char source[] =
                "{%- macro m(a, b='x') -%}{{ a[1:-1]|join(', ') ~ b }}{%- endmacro %}{# c #}\n"
                "{% for k, v in {'a': [1, 2.5e3], \"b\\n\": (none,)}.items() if v is not string %}\n"
                "{% set ns = namespace(x=not k in 'ab') %}{{- m([k], b=ns.x if v else 'é') }}{% raw %}{{{% endraw %}\n"
                "{% else %}{% filter upper %}y{% endfilter %}{% endfor %}{% call m('q') %}z{% endcall %}";
        struct chat_template_input in = {.now = &template_now};

        for (size_t len = 0; len < sizeof source; len++) {
                struct chat_template *t = NULL;
                struct dyn_error err = {0};
                struct buf out = {0};

                if (chat_template_compile(&t, source, len, &err) == DYN_OK)
                        chat_template_render(t, &in, &out, &err);
                else
                        assert_true(strncmp(err.text, "line ", 5) == 0);
                chat_template_destroy(t);
                buf_free(&out);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_not_known_is_named_with_its_line),
                cmocka_unit_test(what_is_no_template_is_named_with_its_line),
                cmocka_unit_test(a_name_that_the_template_defines_may_be_called),
                cmocka_unit_test(harmful_templates_end_soon),
                cmocka_unit_test(deep_nesting_and_long_chains_do_not_reach_the_end_of_the_stack),
                cmocka_unit_test(every_cut_of_a_template_is_answered),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
