#include "adapters_cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters_order.h"
#include "adapters_table.h"
#include "api/tokens.h"
#include "base/alloc.h"
#include "client.h"
#include "io/json.h"
#include "packing.h"

#define ADAPTERS "/v1/adapters"

enum { DONE, REFUSED, FAILED }; // exit statuses

struct command {
        struct adapters_order order;
        char *token;
        struct client *client;
};

static bool is(const char *a, const char *b)
{
        return strcmp(a, b) == 0;
}

static int fail(const char *what)
{
        fprintf(stderr, "dynlora adapters: %s\n", what);
        return FAILED;
}

// The server
// ---------------------------------------------------------------------------------------------------------------------

static void take_first(void *ctx, const char *token, size_t len)
{
        char **first = ctx;

        if (*first == NULL)
                *first = mem_strndup(token, len);
}

// What is set to nothing is not set.
static const char *environment(const char *name)
{
        const char *value = getenv(name);

        return value != NULL && *value != 0 ? value : NULL;
}

static enum dyn_status connect_to(struct command *c, struct dyn_error *err)
{
        const char *url = c->order.url ? c->order.url : environment("DYNLORA_URL"),
                   *token = environment("DYNLORA_ADMIN_TOKEN");
        bool exposed;

        if (c->order.token_file != NULL) {
                enum dyn_status st = tokens_read(c->order.token_file, take_first, &c->token, &exposed, err);
                if (st != DYN_OK)
                        return dyn_fail_in(err, "--token-file");
                token = c->token;
        }
        return client_create(&c->client, url ? url : "http://127.0.0.1:8000", token, err);
}

// Asking and telling
// ----------------------------------------------------------------------------------------------------------------

static const char *string_of(const cJSON *object, const char *member)
{
        const cJSON *value = json_member(object, member);

        return cJSON_IsString(value) ? value->valuestring : "?";
}

static void tell_known(const struct command *c)
{
        fprintf(stderr, "dynlora adapters: an adapter is named \"%s\" already: update gives it a new version\n",
                c->order.name);
}

static void tell_refusal(const struct command *c, int status, const cJSON *answer)
{
        const cJSON *error = json_member(answer, "error"), *message = json_member(error, "message");

        if (status == 409 && is(c->order.action, "add") && is(string_of(error, "code"), "conflict"))
                tell_known(c);
        else if (cJSON_IsString(message))
                fprintf(stderr, "dynlora adapters: %s\n", message->valuestring);
        else
                fprintf(stderr, "dynlora adapters: the server answered %d\n", status);
}

static void tell_done(const struct command *c, const cJSON *answer)
{
        if (is(c->order.action, "list"))
                adapters_table_print(stdout, json_member(answer, "data"));
        else if (is(c->order.action, "remove"))
                printf("%s: %s\n", c->order.name, string_of(answer, "state"));
        else if (is(c->order.action, "pin") || is(c->order.action, "unpin"))
                printf("%s: %sned\n", c->order.name, c->order.action);
        else
                printf("%s: version %s, %s%s\n", c->order.name, string_of(answer, "version"),
                        string_of(answer, "state"), is(string_of(answer, "outcome"), "unchanged") ? ", unchanged" : "");
}

static int finish(const struct command *c, int status, const struct buf *body)
{
        struct dyn_error err;
        cJSON *answer = NULL;
        int result = status >= 200 && status < 300 ? DONE : REFUSED;

        if (json_parse(body->data ? body->data : "", body->len, &answer, &err) != DYN_OK && result == DONE)
                return fail("the answer is not JSON: is there another server at this address?");
        if (c->order.json && answer != NULL)
                printf("%s\n", body->data);
        if (result == REFUSED)
                tell_refusal(c, status, answer);
        else if (!c->order.json)
                tell_done(c, answer);
        cJSON_Delete(answer);
        return result;
}

static int ask(const struct command *c, const struct client_call *call)
{
        struct buf body = {0};
        struct dyn_error err;
        int status, result;

        if (client_send(c->client, call, &status, &body, &err) != DYN_OK)
                result = fail(err.text);
        else
                result = finish(c, status, &body);
        buf_free(&body);
        return result;
}

// Actions
// ---------------------------------------------------------------------------------------------------------------------

// Whether the server has it, for what the calls themselves do not tell apart: DONE, REFUSED (told why), FAILED.
static int check_known(const struct command *c, bool expected)
{
        struct client_call call = {"GET", ADAPTERS, c->order.name};
        struct buf body = {0};
        struct dyn_error err;
        int status, result = DONE;

        if (client_send(c->client, &call, &status, &body, &err) != DYN_OK) {
                result = fail(err.text);
        } else if (!expected && status == 200) {
                tell_known(c);
                result = REFUSED;
        } else if (status != 200 && (expected || status != 404)) {
                result = finish(c, status, &body);
        }
        buf_free(&body);
        return result;
}

static int upload(const struct command *c, FILE *file)
{
        return ask(c, &(struct client_call){"PUT", ADAPTERS, c->order.name, .file = file});
}

// The path as the server must be told it, wherever this command runs.
static char *whole_path(const char *path)
{
        if (path[0] == '/')
                return mem_strdup(path);
        char *here = getcwd(NULL, 0);
        char *whole = here ? mem_printf("%s/%s", here, path) : mem_strdup(path);
        free(here);
        return whole;
}

static int register_path(const struct command *c)
{
        cJSON *body = cJSON_CreateObject();
        char *path = whole_path(c->order.path);

        cJSON_AddStringToObject(body, "name", c->order.name);
        cJSON_AddStringToObject(body, "path", path);
        cJSON_AddBoolToObject(body, "replace", is(c->order.action, "update"));
        char *text = cJSON_PrintUnformatted(body);
        int result = ask(c, &(struct client_call){"POST", ADAPTERS, .json = text});
        cJSON_free(text);
        cJSON_Delete(body);
        mem_free(path);
        return result;
}

// A folder by its path, or packed; a file as it is. An absolute path that is not here may be on the server's machine.
static int add_or_update(const struct command *c)
{
        bool updates = is(c->order.action, "update");
        struct dyn_error err;
        struct stat st = {0};
        FILE *file = NULL;

        bool here = stat(c->order.path, &st) == 0;
        if (!here && (c->order.upload || c->order.path[0] != '/')) {
                fprintf(stderr, "dynlora adapters: %s: %s\n", c->order.path, strerror(errno));
                return FAILED;
        }
        bool folder = !here || S_ISDIR(st.st_mode);
        if (folder && c->order.upload && packing_tar(&file, c->order.path, &err) != DYN_OK)
                return fail(err.text);
        if (!folder && (file = fopen(c->order.path, "re")) == NULL) {
                fprintf(stderr, "dynlora adapters: %s: %s\n", c->order.path, strerror(errno));
                return FAILED;
        }
        int result = updates || file != NULL ? check_known(c, updates) : DONE;
        if (result == DONE)
                result = file ? upload(c, file) : register_path(c);
        if (file != NULL)
                fclose(file);
        return result;
}

static int run(const struct command *c)
{
        if (is(c->order.action, "list"))
                return ask(c, &(struct client_call){"GET", ADAPTERS});
        if (is(c->order.action, "remove"))
                return ask(c, &(struct client_call){"DELETE", ADAPTERS, c->order.name});
        if (is(c->order.action, "pin"))
                return ask(c, &(struct client_call){"PATCH", ADAPTERS, c->order.name, .json = "{\"pin\": true}"});
        if (is(c->order.action, "unpin"))
                return ask(c, &(struct client_call){"PATCH", ADAPTERS, c->order.name, .json = "{\"pin\": false}"});
        return add_or_update(c);
}

int adapters_cli_run(int argc, char **argv)
{
        struct command c = {0};
        struct dyn_error err;
        int result;

        for (int i = 0; i < argc; i++)
                if (is(argv[i], "--help") || is(argv[i], "-h") || (i == 0 && is(argv[i], "help"))) {
                        adapters_order_print_usage(stdout);
                        return DONE;
                }
        if (argc == 0) {
                adapters_order_print_usage(stderr);
                return FAILED;
        }
        if (adapters_order_read(&c.order, argc, argv, &err) != DYN_OK || connect_to(&c, &err) != DYN_OK)
                result = fail(err.text);
        else
                result = run(&c);
        client_destroy(c.client);
        mem_free(c.token);
        return result;
}
