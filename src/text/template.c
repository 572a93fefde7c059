// Between the outside and the Jinja reader: compiles a tree, and for each rendering turns the JSON of a request into
// the variables that the template names.
#include "text/template.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "text/jinja/builtin.h"
#include "text/jinja/eval.h"

#include <math.h>

struct chat_template {
        struct tree tree;
};

enum dyn_status chat_template_compile(struct chat_template **out, const char *source, size_t len, struct dyn_error *err)
{
        struct chat_template *t = mem_zalloc(sizeof *t);
        enum dyn_status status = tree_parse(&t->tree, (struct str){source, len}, err);

        if (status == DYN_OK)
                *out = t;
        else
                chat_template_destroy(t);
        return status;
}

void chat_template_destroy(struct chat_template *t)
{
        if (!t)
                return;
        tree_free(&t->tree);
        mem_free(t);
}

// JSON numbers come as doubles; those that are whole are taken for integers.
static struct value from_number(double d)
{
        return d == floor(d) && fabs(d) <= 9007199254740992.0 ? value_int((int64_t)d) : value_float(d);
}

static struct value from_json(struct run *r, const cJSON *json)
{
        struct value v = value_none();

        if (!run_enter(r))
                return v;
        if (cJSON_IsBool(json)) {
                v = value_bool(cJSON_IsTrue(json));
        } else if (cJSON_IsNumber(json)) {
                v = from_number(json->valuedouble);
        } else if (cJSON_IsString(json)) {
                v = value_string(str_of(json->valuestring));
        } else if (cJSON_IsArray(json)) {
                v = run_list(r, VALUE_LIST);
                for (const cJSON *item = json->child; item && run_ok(r); item = item->next)
                        run_push(r, v, from_json(r, item));
        } else if (cJSON_IsObject(json)) {
                v = run_dict(r, VALUE_DICT);
                for (const cJSON *item = json->child; item && run_ok(r); item = item->next)
                        run_put(r, v.dict, value_string(str_of(item->string)), from_json(r, item));
        }
        run_leave(r);
        return v;
}

static struct value from_token(const char *token)
{
        return token ? value_string(str_of(token)) : (struct value){0};
}

// The value that a name has when the template starts; VALUE_ABSENT if none.
static struct value variable(struct run *r, const struct chat_template_input *in, struct str name)
{
        for (const cJSON *item = in->kwargs ? in->kwargs->child : NULL; item; item = item->next)
                if (item->string && str_equal(name, str_of(item->string)))
                        return from_json(r, item);
        if (str_equal(name, str_of("messages")))
                return from_json(r, in->messages);
        if (str_equal(name, str_of("tools")))
                return in->tools ? from_json(r, in->tools) : value_none();
        if (str_equal(name, str_of("documents")))
                return value_none();
        if (str_equal(name, str_of("add_generation_prompt")))
                return value_bool(in->add_generation_prompt);
        if (str_equal(name, str_of("bos_token")))
                return from_token(in->bos_token);
        if (str_equal(name, str_of("eos_token")))
                return from_token(in->eos_token);
        const struct builtin *function = builtin_function(name);

        return function ? (struct value){.kind = VALUE_FUNCTION, .function = function} : (struct value){0};
}

enum dyn_status chat_template_render(
        const struct chat_template *t, const struct chat_template_input *in, struct buf *out, struct dyn_error *err)
{
        struct run r = {.tree = &t->tree, .now = in->now, .out = out, .err = err, .status = DYN_OK};
        size_t start = out->len;
        time_t now = (time_t)clock_unix();
        struct tm local;

        if (!r.now)
                r.now = localtime_r(&now, &local);
        r.globals = run_alloc(&r, (size_t)t->tree.n_names * sizeof *r.globals);
        for (int i = 0; i < t->tree.n_names && run_ok(&r); i++)
                r.globals[i] = variable(&r, in, t->tree.names[i].text);
        exec_body(&r, t->tree.body);
        if (!run_ok(&r))
                out->len = start;
        if (out->data)
                out->data[out->len] = '\0';
        jinja_pool_free(&r.pool);
        return r.status;
}
