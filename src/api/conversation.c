#include "api/conversation.h"

#include <stdio.h>
#include <string.h>

static enum dyn_status fail(struct problem *p, int i, const char *member, const char *expected, const cJSON *found)
{
        char param[80], what[100];

        snprintf(param, sizeof param, "messages[%d]%s%.40s", i, member[0] ? "." : "", member);
        return problem_set(p, DYN_INVALID, param, NULL, "\"%s\": expected %s, found %s", param, expected,
                json_describe(found, what, sizeof what));
}

static enum dyn_status add_part(const cJSON *part, int i, struct buf *text, struct problem *p)
{
        const cJSON *type = json_member(part, "type"), *words = json_member(part, "text");

        if (!cJSON_IsObject(part) || !cJSON_IsString(type))
                return fail(p, i, "content", "parts like {\"type\": \"text\", \"text\": ...}", part);
        if (strcmp(type->valuestring, "text") != 0) {
                fail(p, i, "content", "parts of type \"text\"", type);
                p->err.status = DYN_UNSUPPORTED;
                p->code = "unsupported_parameter";
                return DYN_UNSUPPORTED;
        }
        if (!cJSON_IsString(words))
                return fail(p, i, "content", "a string as \"text\" of each part", words);
        for (const cJSON *v = part->child; v != NULL; v = v->next)
                if (v != type && v != words && !cJSON_IsNull(v))
                        return fail(p, i, "content", "no members but type and text in a part", v);
        if (text->data != NULL)
                buf_putc(text, '\n');
        buf_puts(text, words->valuestring);
        return DYN_OK;
}

static enum dyn_status add_content(const cJSON *content, int i, cJSON *out, struct problem *p)
{
        struct buf text = {0};
        enum dyn_status st = DYN_OK;

        if (cJSON_IsString(content)) {
                cJSON_AddItemToObject(out, "content", cJSON_CreateStringReference(content->valuestring));
                return DYN_OK;
        }
        if (!cJSON_IsArray(content))
                return fail(p, i, "content", "a string or an array of text parts", content);
        for (const cJSON *part = content->child; part != NULL && st == DYN_OK; part = part->next)
                st = add_part(part, i, &text, p);
        if (st == DYN_OK)
                cJSON_AddStringToObject(out, "content", text.data ? text.data : "");
        buf_free(&text);
        return st;
}

// What a template would act on and this server does not do is refused unless it says nothing.
static enum dyn_status check_members(const cJSON *message, int i, struct problem *p)
{
        for (const cJSON *v = message->child; v != NULL; v = v->next) {
                bool empty = cJSON_IsNull(v) || (cJSON_IsArray(v) && v->child == NULL);

                if (empty || !strcmp(v->string, "role") || !strcmp(v->string, "content") || !strcmp(v->string, "name"))
                        continue;
                fail(p, i, v->string, "nothing: this field is not supported", v);
                p->err.status = DYN_UNSUPPORTED;
                p->code = "unsupported_parameter";
                return DYN_UNSUPPORTED;
        }
        return DYN_OK;
}

static enum dyn_status add_message(const cJSON *message, int i, cJSON *out, struct problem *p)
{
        const cJSON *role = json_member(message, "role"), *name = json_member(message, "name");

        if (!cJSON_IsObject(message))
                return fail(p, i, "", "an object with role and content", message);
        enum dyn_status st = check_members(message, i, p);
        if (st != DYN_OK)
                return st;
        if (!cJSON_IsString(role) || role->valuestring[0] == 0)
                return fail(p, i, "role", "a string", role);
        cJSON_AddItemToObject(out, "role", cJSON_CreateStringReference(role->valuestring));
        if (name != NULL && !cJSON_IsNull(name)) {
                if (!cJSON_IsString(name))
                        return fail(p, i, "name", "a string", name);
                cJSON_AddItemToObject(out, "name", cJSON_CreateStringReference(name->valuestring));
        }
        return add_content(json_member(message, "content"), i, out, p);
}

enum dyn_status conversation_read(const cJSON *messages, cJSON **out, struct problem *p)
{
        enum dyn_status st = DYN_OK;
        char found[100];
        int i = 0;

        *out = NULL;
        if (messages == NULL)
                return problem_set(
                        p, DYN_INVALID, "messages", "missing_required_parameter", "\"messages\": is required");
        if (!cJSON_IsArray(messages) || messages->child == NULL)
                return problem_set(p, DYN_INVALID, "messages", NULL,
                        "\"messages\": expected an array of at least one message, found %s",
                        json_describe(messages, found, sizeof found));
        *out = cJSON_CreateArray();
        for (const cJSON *m = messages->child; m != NULL && st == DYN_OK; m = m->next) {
                cJSON *read = cJSON_CreateObject();

                cJSON_AddItemToArray(*out, read);
                st = add_message(m, i++, read, p);
        }
        if (st != DYN_OK) {
                cJSON_Delete(*out);
                *out = NULL;
        }
        return st;
}

enum dyn_status conversation_render(struct api *api, const struct params *params, struct buf *out, struct problem *p)
{
        const cJSON *kwargs = params->chat_template_kwargs;
        struct chat_template_input input = {.kwargs = kwargs,
                .add_generation_prompt = params->add_generation_prompt,
                .bos_token = tokenizer_bos(api->tokenizer),
                .eos_token = tokenizer_eos(api->tokenizer)};
        char found[100];
        cJSON *messages;

        if (kwargs != NULL && !cJSON_IsObject(kwargs))
                return problem_set(p, DYN_INVALID, "chat_template_kwargs", NULL,
                        "\"chat_template_kwargs\": expected an object, found %s",
                        json_describe(kwargs, found, sizeof found));
        enum dyn_status st = conversation_read(params->messages, &messages, p);
        if (st != DYN_OK)
                return st;
        if (api->chat_template == NULL) {
                st = problem_set(p, DYN_INVALID, "messages", "no_chat_template",
                        "the model has no chat template: use /v1/completions");
        } else {
                input.messages = messages;
                st = chat_template_render(api->chat_template, &input, out, &p->err);
                if (st != DYN_OK)
                        problem_of(p, "messages", NULL);
        }
        cJSON_Delete(messages);
        return st;
}
