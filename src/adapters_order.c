#include "adapters_order.h"

#include <string.h>

void adapters_order_print_usage(FILE *out)
{
        fputs("dynlora adapters: the adapters of a running server\n"
              "\n"
              "  dynlora adapters list              which there are, and how they are\n"
              "  dynlora adapters add NAME PATH     register the folder PATH, which the server\n"
              "                                     reads, or upload the archive PATH\n"
              "  dynlora adapters update NAME PATH  the same, as a new version of one\n"
              "  dynlora adapters remove NAME       take one away; requests that run on it end\n"
              "  dynlora adapters pin NAME          keep one in memory, whoever else comes\n"
              "  dynlora adapters unpin NAME        let it go when memory is wanted\n"
              "\n"
              "  --upload         send the two files of the folder PATH, for a server that\n"
              "                   cannot read it\n"
              "  --url URL        http://HOST:PORT or unix:PATH, else what DYNLORA_URL says,\n"
              "                   else http://127.0.0.1:8000\n"
              "  --token-file F   a file with the admin token, else what DYNLORA_ADMIN_TOKEN\n"
              "                   says, else none\n"
              "  --json           print the server's answer as it is\n"
              "\n"
              "Exit status: 0 done, 1 refused by the server, 2 bad usage or no answer.\n",
                out);
}

static bool is(const char *a, const char *b)
{
        return strcmp(a, b) == 0;
}

// "--url URL" and "--url=URL". False if arg is another option.
static bool take_value(const char *option, const char **value, char **argv, int argc, int *i, struct dyn_error *err)
{
        size_t len = strlen(option);

        if (strncmp(argv[*i], option, len) != 0 || (argv[*i][len] != 0 && argv[*i][len] != '='))
                return false;
        if (argv[*i][len] == '=')
                *value = argv[*i] + len + 1;
        else if (*i + 1 < argc)
                *value = argv[++*i];
        else
                dyn_fail(err, DYN_INVALID, "%s: expected a value after it, found none", option);
        return true;
}

static enum dyn_status check_words(const struct adapters_order *o, int n_words, struct dyn_error *err)
{
        static const struct {
                const char *action;
                int n_words;
        } actions[] = {{"list", 1}, {"add", 3}, {"update", 3}, {"remove", 2}, {"pin", 2}, {"unpin", 2}};
        static const char *const expected[] = {"nothing", "a name", "a name and a path"};

        if (o->action == NULL)
                return dyn_fail(err, DYN_INVALID, "expected list, add, update, remove, pin or unpin, found none");
        for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
                if (!is(o->action, actions[i].action))
                        continue;
                if (n_words != actions[i].n_words)
                        return dyn_fail(err, DYN_INVALID, "%s: expected %s after it, found %d word%s", o->action,
                                expected[actions[i].n_words - 1], n_words - 1, n_words == 2 ? "" : "s");
                if (o->upload && n_words != 3)
                        return dyn_fail(err, DYN_INVALID, "--upload is for add and update");
                return o->name == NULL || *o->name != 0 ? DYN_OK
                                                        : dyn_fail(err, DYN_INVALID, "expected a name, found \"\"");
        }
        return dyn_fail(
                err, DYN_INVALID, "expected list, add, update, remove, pin or unpin, found \"%.60s\"", o->action);
}

enum dyn_status adapters_order_read(struct adapters_order *o, int argc, char **argv, struct dyn_error *err)
{
        const char **words[] = {&o->action, &o->name, &o->path};
        int n_words = 0;

        *o = (struct adapters_order){0};
        *err = (struct dyn_error){.status = DYN_OK};
        for (int i = 0; i < argc && err->status == DYN_OK; i++) {
                if (is(argv[i], "--json"))
                        o->json = true;
                else if (is(argv[i], "--upload"))
                        o->upload = true;
                else if (take_value("--url", &o->url, argv, argc, &i, err) ||
                         take_value("--token-file", &o->token_file, argv, argc, &i, err))
                        continue;
                else if (strncmp(argv[i], "--", 2) == 0)
                        dyn_fail(err, DYN_INVALID, "%.60s: unknown option", argv[i]);
                else if (n_words == 3)
                        dyn_fail(err, DYN_INVALID, "one word too many: \"%.60s\"", argv[i]);
                else
                        *words[n_words++] = argv[i];
        }
        return err->status == DYN_OK ? check_words(o, n_words, err) : err->status;
}
