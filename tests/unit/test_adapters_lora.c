// adapters/: LoRA folders of PEFT. Oracles: PEFT's own answers (peft_rules.json, made by peft_rules.py) and the values
// that were written into the folder.
#include "harness.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "adapter_folder.h"
#include "adapters/lora_config.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "io/json.h"
#include "base/quant.h"
#include "io/safetensors.h"

struct opened {
        char *path;
        cJSON *config;
        struct safetensors *weights;
        struct dyn_lowered lowered;
        enum dyn_status status;
        struct dyn_error error;
};

// Writes the folder and lowers it at the sites.
static void open_at(struct opened *o, const struct adapter_folder *f, const struct dyn_sites *sites)
{
        const struct dyn_adapter_kind *kind;

        *o = (struct opened){.path = adapter_folder_write(f)};
        char *config = mem_printf("%s/adapter_config.json", o->path);
        char *weights = mem_printf("%s/adapter_model.safetensors", o->path);

        if (json_parse_file(config, 1 << 20, &o->config, &o->error))
                fail_msg("%s", o->error.text);
        if (safetensors_open(&o->weights, weights, &o->error))
                fail_msg("%s", o->error.text);
        struct dyn_adapter_folder folder = {o->path, o->config, o->weights};

        o->status = dyn_adapter_kind_find(&folder, &kind, &o->error);
        if (o->status == DYN_OK)
                o->status = kind->lower(&folder, sites, &o->lowered, &o->error);
        mem_free(config);
        mem_free(weights);
}

static void open_one(struct opened *o, const struct adapter_folder *f)
{
        open_at(o, f, test_host.sites);
}

static void close_one(struct opened *o)
{
        dyn_lowered_finish(&o->lowered);
        safetensors_close(o->weights);
        cJSON_Delete(o->config);
        adapter_folder_remove(o->path);
}

static void expect_ok(const struct opened *o)
{
        if (o->status != DYN_OK)
                fail_msg("refused: %s", o->error.text);
}

static void expect_values(const struct dyn_tensor *t, int64_t rows, int64_t columns, const char *site, char part)
{
        char *name = mem_printf("base_model.model.%s.lora_%c.weight", site, part);

        assert_int_equal(t->n_dims, 2);
        assert_int_equal(t->shape[0], rows);
        assert_int_equal(t->shape[1], columns);
        assert_int_equal(t->bytes, dyn_dtype_bytes(t->dtype, rows * columns));
        assert_int_equal((uintptr_t)t->data % dyn_dtype_bytes(t->dtype, 1), 0);
        float *values = mem_array((size_t)(rows * columns), sizeof *values);

        quant_to_f32(values, t->dtype, t->data, rows * columns);
        for (int i = 0; i < rows * columns; i++)
                assert_true(values[i] == adapter_folder_value(name, 0, i));
        mem_free(values);
        mem_free(name);
}

static void expect_usual(const struct opened *o, int rank, float scale)
{
        static const int patched[] = {0, 2, 6, 7, 9, 13};

        expect_ok(o);
        assert_int_equal(o->lowered.n, 6);
        assert_int_equal(o->lowered.max_rank, rank);
        for (int i = 0; i < 6; i++) {
                const struct dyn_patch *p = &o->lowered.patches[i];
                const struct dyn_site *site = &test_host.sites->at[patched[i]];

                assert_int_equal(p->site, patched[i]);
                assert_true(p->scale == scale);
                assert_int_equal(p->a.dtype, p->b.dtype);
                expect_values(&p->a, rank, site->n_in, site->name, 'A');
                expect_values(&p->b, site->n_out, rank, site->name, 'B');
        }
}

static void each_pair_becomes_a_patch_at_its_site(void **state)
{
        struct opened o;

        open_one(&o, &(struct adapter_folder){0});
        expect_usual(&o, 4, 2.0f);
        close_one(&o);
}

// Folders that differ from the usual one and mean the same patches.
static const struct {
        struct adapter_folder folder;
        int rank;
        float scale;
} same[] = {
        {{.find = "\"r\": 4", .replace = "\"r\": 1", .rank = 1}, 1, 8.0f},
        {{.find = "\"r\": 4", .replace = "\"r\": 13", .rank = 13}, 13, (float)(8.0 / 13.0)},
        {{.find = "\"r\": 4, ", .replace = "", .rank = 8}, 8, 1.0f},
        {{.find = "\"lora_alpha\": 8,", .replace = ""}, 4, 2.0f},
        {{.find = "\"lora_alpha\": 8", .replace = "\"lora_alpha\": 0.5"}, 4, 0.125f},
        {{.find = "\"lora_alpha\": 8", .replace = "\"lora_alpha\": -8"}, 4, -2.0f},
        {{.find = "\"use_rslora\": false", .replace = "\"use_rslora\": true"}, 4, 4.0f},
        {{.find = "\"use_rslora\": false", .replace = "\"use_rslora\": null"}, 4, 2.0f},
        {{.find = "\"use_rslora\": false", .replace = "\"qalora_group_size\": 16, \"eva_config\": {\"rho\": 2.0}"}, 4,
                2.0f},
        {{.find = "\"use_rslora\": false",
                 .replace = "\"invented\": false, \"another\": [], \"third\": \"\", \"x\": 0"},
                4, 2.0f},
        {{.find = "\"use_rslora\": false", .replace = "\"use_qalora\": false, \"kasa_config\": null"}, 4, 2.0f},
        {{.find = "\"init_lora_weights\": true", .replace = "\"init_lora_weights\": \"gaussian\""}, 4, 2.0f},
        {{.find = "\"init_lora_weights\": true", .replace = "\"init_lora_weights\": \"eva\""}, 4, 2.0f},
        {{.find = "\"init_lora_weights\": true", .replace = "\"init_lora_weights\": false"}, 4, 2.0f},
        {{.find = "\"init_lora_weights\": true", .replace = "\"init_lora_weights\": \"orthogonal\""}, 4, 2.0f},
        {{.find = "[\"q_proj\", \"v_proj\", \"down_proj\"]", .replace = "\".*\\\\.([qv]|down)_proj\""}, 4, 2.0f},
        {{.find = "[\"q_proj\", \"v_proj\", \"down_proj\"]",
                 .replace = "[\"q_proj\", \"v_proj\", \"down_proj\", \"W_pack\"]"},
                4, 2.0f},
        {{.find = "[\"q_proj\", \"v_proj\", \"down_proj\"]",
                 .replace = "\".*_proj\", \"exclude_modules\": [\"k_proj\", \"o_proj\", \"up_proj\", \"gate_proj\"]"},
                4, 2.0f},
        {{.tensor = "q_proj.lora_A.weight", .rename = "model.layers.0.self_attn.q_proj.lora_A.default.weight"}, 4,
                2.0f},
        {{.tensor = "q_proj.lora_B.weight", .rename = "model.layers.0.self_attn.q_proj.lora_B.default.weight"}, 4,
                2.0f},
        {{.tensor = "q_proj.lora_A.weight", .dtype = "BF16"}, 4, 2.0f},
        {{.tensor = "q_proj.lora_B.weight", .dtype = "F16"}, 4, 2.0f},
};

static void what_has_no_effect_changes_nothing(void **state)
{
        for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
                struct opened o;

                open_one(&o, &same[i].folder);
                if (o.status != DYN_OK)
                        fail_msg("row %zu: %s", i, o.error.text);
                expect_usual(&o, same[i].rank, same[i].scale);
                close_one(&o);
        }
}

static void factors_of_two_types_meet_in_f32(void **state)
{
        struct opened o;

        open_one(&o, &(struct adapter_folder){.tensor = "v_proj.lora_A.weight", .dtype = "BF16"});
        expect_usual(&o, 4, 2.0f);
        assert_int_equal(o.lowered.patches[1].a.dtype, DYN_F32);
        close_one(&o);
}

static void patterns_decide_rank_and_scale_of_each_module(void **state)
{
        struct opened o;

        open_one(&o, &(struct adapter_folder){
                             .find = "\"rank_pattern\": {}",
                             .replace = "\"rank_pattern\": {\"layers.0.self_attn.q_proj\": 3, \"q_proj\": 4}",
                             .tensor = "q_proj.lora_A.weight",
                             .rows = 3,
                     });
        assert_int_equal(o.status, DYN_INVALID);
        assert_string_equal(o.error.text, "adapter_model.safetensors: model.layers.0.self_attn.q_proj.lora_B: expected "
                                          "(8, 3), found (8, 4)");
        close_one(&o);
}

// Folders that must be refused, and what is said.
static const struct {
        struct adapter_folder folder;
        enum dyn_status status;
        const char *error;
} broken[] = {
        // Fields.
        {{.find = "\"LORA\"", .replace = "\"LOHA\""}, DYN_UNSUPPORTED,
                "adapter_config.json: \"peft_type\": expected \"LORA\", found \"LOHA\""},
        {{.find = "\"LORA\"", .replace = "\"PROMPT_TUNING\""}, DYN_UNSUPPORTED,
                "adapter_config.json: \"peft_type\": expected \"LORA\", found \"PROMPT_TUNING\""},
        {{.find = "\"LORA\"", .replace = "null"}, DYN_INVALID,
                "adapter_config.json: \"peft_type\": expected \"LORA\", found null"},
        {{.find = "\"peft_type\": \"LORA\", ", .replace = ""}, DYN_INVALID,
                "adapter_config.json: \"peft_type\": expected \"LORA\", found nothing"},
        {{.find = "\"peft_type\": \"LORA\"", .replace = "\"peft_type\": 7"}, DYN_INVALID,
                "adapter_config.json: \"peft_type\": expected \"LORA\", found 7"},
        {{.find = "\"use_dora\": false", .replace = "\"use_dora\": true"}, DYN_UNSUPPORTED,
                "adapter_config.json: \"use_dora\" is set (true), and this is not supported"},
        {{.find = "\"use_dora\": false", .replace = "\"use_qalora\": true"}, DYN_UNSUPPORTED,
                "adapter_config.json: \"use_qalora\" is set (true), and this is not supported"},
        {{.find = "\"use_dora\": false", .replace = "\"lora_bias\": true"}, DYN_UNSUPPORTED,
                "adapter_config.json: \"lora_bias\" is set (true), and this is not supported"},
        {{.find = "\"use_dora\": false", .replace = "\"kasa_config\": {\"beta\": 0.1}"}, DYN_UNSUPPORTED,
                "adapter_config.json: \"kasa_config\" is set (an object), and this is not supported"},
        {{.find = "\"use_dora\": false", .replace = "\"velora_config\": {\"rank\": 1}"}, DYN_UNSUPPORTED,
                "adapter_config.json: \"velora_config\" is set (an object), and this is not supported"},
        {{.find = "\"use_dora\": false", .replace = "\"monteclora_config\": {\"a\": 1}"}, DYN_UNSUPPORTED,
                "adapter_config.json: \"monteclora_config\" is set (an object), and this is not supported"},
        {{.find = "\"use_dora\": false", .replace = "\"arrow_config\": {\"top_k\": 1}"}, DYN_UNSUPPORTED,
                "adapter_config.json: \"arrow_config\" is set (an object), and this is not supported"},
        {{.find = "\"use_dora\": false", .replace = "\"use_bdlora\": {\"nblocks\": 2}"}, DYN_UNSUPPORTED,
                "adapter_config.json: \"use_bdlora\" is set (an object), and this is not supported"},
        {{.find = "\"use_dora\": false", .replace = "\"alora_invocation_tokens\": [1, 2]"}, DYN_UNSUPPORTED,
                "adapter_config.json: \"alora_invocation_tokens\" is set (an array of 2), and this is not supported"},
        {{.find = "\"use_dora\": false", .replace = "\"layer_replication\": [[0, 1]]"}, DYN_UNSUPPORTED,
                "adapter_config.json: \"layer_replication\" is set (an array of 1), and this is not supported"},
        {{.find = "\"use_dora\": false", .replace = "\"target_parameters\": [\"x\"]"}, DYN_UNSUPPORTED,
                "adapter_config.json: \"target_parameters\" is set (an array of 1), and this is not supported"},
        {{.find = "\"use_dora\": false", .replace = "\"trainable_token_indices\": {\"embed_tokens\": [1]}"},
                DYN_UNSUPPORTED,
                "adapter_config.json: \"trainable_token_indices\" is set (an object), and this is not supported"},
        {{.find = "\"modules_to_save\": null", .replace = "\"modules_to_save\": [\"lm_head\"]"}, DYN_UNSUPPORTED,
                "adapter_config.json: \"modules_to_save\" is set (an array of 1), and this is not supported"},
        {{.find = "\"fan_in_fan_out\": false", .replace = "\"fan_in_fan_out\": true"}, DYN_UNSUPPORTED,
                "adapter_config.json: \"fan_in_fan_out\" is set (true), and this is not supported"},
        {{.find = "\"megatron_config\": null", .replace = "\"megatron_config\": {\"a\": 1}"}, DYN_UNSUPPORTED,
                "adapter_config.json: \"megatron_config\" is set (an object), and this is not supported"},
        {{.find = "\"loftq_config\": {}", .replace = "\"loftq_config\": {\"loftq_bits\": 4}"}, DYN_UNSUPPORTED,
                "adapter_config.json: \"loftq_config\" is set (an object), and this is not supported"},
        {{.find = "\"bias\": \"none\"", .replace = "\"bias\": \"all\""}, DYN_UNSUPPORTED,
                "adapter_config.json: \"bias\": expected \"none\", found \"all\""},
        {{.find = "\"bias\": \"none\"", .replace = "\"bias\": \"lora_only\""}, DYN_UNSUPPORTED,
                "adapter_config.json: \"bias\": expected \"none\", found \"lora_only\""},
        {{.find = "\"use_dora\": false", .replace = "\"scale_by_depth\": 0.5"}, DYN_UNSUPPORTED,
                "adapter_config.json: \"scale_by_depth\" is set (0.5), and this field is not known here"},
        {{.find = "\"use_dora\": false", .replace = "\"lora_nums\": 4"}, DYN_UNSUPPORTED,
                "adapter_config.json: \"lora_nums\" is set (4), and this field is not known here"},
        {{.find = "\"use_rslora\": false", .replace = "\"use_rslora\": \"yes\""}, DYN_INVALID,
                "adapter_config.json: \"use_rslora\": expected true or false, found \"yes\""},
        {{.find = "\"init_lora_weights\": true", .replace = "\"init_lora_weights\": \"pissa\""}, DYN_UNSUPPORTED,
                "adapter_config.json: \"init_lora_weights\": expected a start that leaves the base as it is, found "
                "\"pissa\" (save it with path_initial_model_for_weight_conversion)"},
        {{.find = "\"init_lora_weights\": true", .replace = "\"init_lora_weights\": \"pissa_niter_4\""},
                DYN_UNSUPPORTED,
                "adapter_config.json: \"init_lora_weights\": expected a start that leaves the base as it is, found "
                "\"pissa_niter_4\" (save it with path_initial_model_for_weight_conversion)"},
        {{.find = "\"init_lora_weights\": true", .replace = "\"init_lora_weights\": \"olora\""}, DYN_UNSUPPORTED,
                "adapter_config.json: \"init_lora_weights\": expected a start that leaves the base as it is, found "
                "\"olora\" (save it with path_initial_model_for_weight_conversion)"},
        {{.find = "\"init_lora_weights\": true", .replace = "\"init_lora_weights\": 3"}, DYN_UNSUPPORTED,
                "adapter_config.json: \"init_lora_weights\": expected a start that leaves the base as it is, found 3 "
                "(save it with path_initial_model_for_weight_conversion)"},
        // Rank and alpha.
        {{.find = "\"r\": 4", .replace = "\"r\": 0"}, DYN_INVALID,
                "adapter_config.json: \"r\": expected a whole number from 1 to 4096, found 0"},
        {{.find = "\"r\": 4", .replace = "\"r\": -4"}, DYN_INVALID,
                "adapter_config.json: \"r\": expected a whole number from 1 to 4096, found -4"},
        {{.find = "\"r\": 4", .replace = "\"r\": 4.5"}, DYN_INVALID,
                "adapter_config.json: \"r\": expected a whole number from 1 to 4096, found 4.5"},
        {{.find = "\"r\": 4", .replace = "\"r\": 5000"}, DYN_INVALID,
                "adapter_config.json: \"r\": expected a whole number from 1 to 4096, found 5000"},
        {{.find = "\"r\": 4", .replace = "\"r\": null"}, DYN_INVALID,
                "adapter_config.json: \"r\": expected a whole number from 1 to 4096, found null"},
        {{.find = "\"r\": 4", .replace = "\"r\": \"4\""}, DYN_INVALID,
                "adapter_config.json: \"r\": expected a whole number from 1 to 4096, found \"4\""},
        {{.find = "\"lora_alpha\": 8", .replace = "\"lora_alpha\": \"8\""}, DYN_INVALID,
                "adapter_config.json: \"lora_alpha\": expected a number that float32 can hold, found \"8\""},
        {{.find = "\"lora_alpha\": 8", .replace = "\"lora_alpha\": 1e40"}, DYN_INVALID,
                "adapter_config.json: \"lora_alpha\": expected a number that float32 can hold, found 1e+40"},
        {{.find = "\"rank_pattern\": {}", .replace = "\"rank_pattern\": [4]"}, DYN_INVALID,
                "adapter_config.json: \"rank_pattern\": expected an object of at most 8192 patterns, found an array of "
                "1"},
        {{.find = "\"rank_pattern\": {}", .replace = "\"rank_pattern\": {\"q_proj\": 0}"}, DYN_INVALID,
                "adapter_config.json: \"rank_pattern\": \"q_proj\": expected a whole number from 1 to 4096, found 0"},
        {{.find = "\"alpha_pattern\": {}", .replace = "\"alpha_pattern\": {\"q_proj\": null}"}, DYN_INVALID,
                "adapter_config.json: \"alpha_pattern\": \"q_proj\": expected a number that float32 can hold, found "
                "null"},
        {{.find = "\"rank_pattern\": {}", .replace = "\"rank_pattern\": {\"(q_proj\": 2}"}, DYN_INVALID,
                "adapter_config.json: \"rank_pattern\": pattern \"(q_proj\": expected a regular expression: missing "
                "closing parenthesis"},
        {{.find = "\"rank_pattern\": {}", .replace = "\"rank_pattern\": {\"\\\\Qq_proj\": 2}"}, DYN_UNSUPPORTED,
                "adapter_config.json: \"rank_pattern\": pattern \"\\Qq_proj\": what begins with \\ at byte 0 is not "
                "supported"},
        {{.find = "\"rank_pattern\": {}", .replace = "\"rank_pattern\": {\"q{,3}_proj\": 2}"}, DYN_UNSUPPORTED,
                "adapter_config.json: \"rank_pattern\": pattern \"q{,3}_proj\": what begins with { at byte 1 is not "
                "supported"},
        {{.find = "\"rank_pattern\": {}", .replace = "\"rank_pattern\": {\"(?i)q_proj\": 2}"}, DYN_UNSUPPORTED,
                "adapter_config.json: \"rank_pattern\": pattern \"(?i)q_proj\": what begins with ( at byte 0 is not "
                "supported"},
        {{.find = "\"alpha_pattern\": {}", .replace = "\"alpha_pattern\": {\"[[:alpha:]]_proj\": 2}"}, DYN_UNSUPPORTED,
                "adapter_config.json: \"alpha_pattern\": pattern \"[[:alpha:]]_proj\": what begins with [ at byte 0 is "
                "not supported"},
        // Targets.
        {{.find = "[\"q_proj\", \"v_proj\", \"down_proj\"]", .replace = "null"}, DYN_INVALID,
                "adapter_config.json: \"target_modules\": expected a list of names or a pattern, found null"},
        {{.find = "[\"q_proj\", \"v_proj\", \"down_proj\"]", .replace = "[\"q_proj\", 3]"}, DYN_INVALID,
                "adapter_config.json: \"target_modules\": expected a list of names or a pattern, found an array of 2"},
        {{.find = "[\"q_proj\", \"v_proj\", \"down_proj\"]", .replace = "\".*(q|v|down_proj\""}, DYN_INVALID,
                "adapter_config.json: \"target_modules\": pattern \".*(q|v|down_proj\": expected a regular expression: "
                "missing closing parenthesis"},
        {{.find = "[\"q_proj\", \"v_proj\", \"down_proj\"]", .replace = "[\"q_proj\", \"v_proj\"]"}, DYN_INVALID,
                "adapter_model.safetensors: model.layers.0.mlp.down_proj.lora_A: expected no tensor, since "
                "adapter_config.json does not target this module, found one"},
        {{.find = "[\"q_proj\", \"v_proj\", \"down_proj\"]", .replace = "\"all-linear\""}, DYN_INVALID,
                "adapter_model.safetensors: model.layers.0.self_attn.k_proj.lora_A: expected a tensor, since "
                "adapter_config.json targets this module, found none"},
        {{.find = "[\"q_proj\", \"v_proj\", \"down_proj\"]", .replace = "[]"}, DYN_INVALID,
                "adapter_model.safetensors: model.layers.0.self_attn.q_proj.lora_A: expected no tensor, since "
                "adapter_config.json does not target this module, found one"},
        {{.find = "\"layers_to_transform\": null", .replace = "\"layers_to_transform\": [1]"}, DYN_INVALID,
                "adapter_model.safetensors: model.layers.0.self_attn.q_proj.lora_A: expected no tensor, since "
                "adapter_config.json does not target this module, found one"},
        {{.find = "\"layers_to_transform\": null", .replace = "\"layers_to_transform\": \"1\""}, DYN_INVALID,
                "adapter_config.json: \"layers_to_transform\": expected a layer or a list of layers, found \"1\""},
        {{.find = "\"layers_to_transform\": null", .replace = "\"layers_to_transform\": [0, -1]"}, DYN_INVALID,
                "adapter_config.json: \"layers_to_transform\": expected a layer or a list of layers, found -1"},
        {{.find = "\"layers_pattern\": null", .replace = "\"layers_pattern\": \"layers\""}, DYN_INVALID,
                "adapter_config.json: \"layers_pattern\": expected nothing, since \"layers_to_transform\" is not set, "
                "found \"layers\""},
        {{.config = "{\"peft_type\": \"LORA\", \"target_modules\": \".*_proj\", \"layers_to_transform\": 1}"},
                DYN_INVALID,
                "adapter_config.json: \"layers_to_transform\": expected null, since \"target_modules\" is no list, "
                "found 1"},
        {{.find = "[\"q_proj\", \"v_proj\", \"down_proj\"]",
                 .replace = "[\"q_proj\", \"v_proj\", \"down_proj\", \"lm_head\"]"},
                DYN_UNSUPPORTED,
                "adapter_config.json: \"target_modules\": expected layers inside the blocks, found lm_head"},
        {{.find = "[\"q_proj\", \"v_proj\", \"down_proj\"]",
                 .replace = "[\"q_proj\", \"v_proj\", \"down_proj\", \"embed_tokens\"]"},
                DYN_UNSUPPORTED,
                "adapter_config.json: \"target_modules\": expected layers inside the blocks, found "
                "model.embed_tokens"},
        // Tensors.
        {{.tensor = "q_proj.lora_B.weight", .drop = true}, DYN_INVALID,
                "adapter_model.safetensors: model.layers.0.self_attn.q_proj.lora_B: expected a tensor, since "
                "adapter_config.json targets this module, found none"},
        {{.tensor = "v_proj.lora_A.weight", .drop = true}, DYN_INVALID,
                "adapter_model.safetensors: model.layers.0.self_attn.v_proj.lora_A: expected a tensor, since "
                "adapter_config.json targets this module, found none"},
        {{.tensor = "q_proj.lora_A.weight", .rows = 5}, DYN_INVALID,
                "adapter_model.safetensors: model.layers.0.self_attn.q_proj.lora_A: expected (4, 8), found (5, 8)"},
        {{.tensor = "q_proj.lora_A.weight", .columns = 9}, DYN_INVALID,
                "adapter_model.safetensors: model.layers.0.self_attn.q_proj.lora_A: expected (4, 8), found (4, 9)"},
        {{.tensor = "v_proj.lora_B.weight", .rows = 8}, DYN_INVALID,
                "adapter_model.safetensors: model.layers.0.self_attn.v_proj.lora_B: expected (4, 4), found (8, 4)"},
        {{.tensor = "down_proj.lora_B.weight", .columns = 8}, DYN_INVALID,
                "adapter_model.safetensors: model.layers.0.mlp.down_proj.lora_B: expected (8, 4), found (8, 8)"},
        {{.tensor = "down_proj.lora_A.weight", .rows = 12, .columns = 4}, DYN_INVALID,
                "adapter_model.safetensors: model.layers.0.mlp.down_proj.lora_A: expected (4, 12), found (12, 4)"},
        {{.tensor = "q_proj.lora_A.weight", .dtype = "I32"}, DYN_INVALID,
                "adapter_model.safetensors: model.layers.0.self_attn.q_proj.lora_A: expected (4, 8) of F32, F16 or "
                "BF16, found another element type"},
        {{.tensor = "q_proj.lora_B.weight", .value = NAN}, DYN_INVALID,
                "adapter_model.safetensors: model.layers.0.self_attn.q_proj.lora_B: expected finite values, found nan "
                "at (7, 3)"},
        {{.tensor = "down_proj.lora_A.weight", .value = -INFINITY}, DYN_INVALID,
                "adapter_model.safetensors: model.layers.0.mlp.down_proj.lora_A: expected finite values, found -inf at "
                "(3, 11)"},
        {{.tensor = "v_proj.lora_A.weight", .dtype = "BF16", .value = INFINITY}, DYN_INVALID,
                "adapter_model.safetensors: model.layers.0.self_attn.v_proj.lora_A: expected finite values, found inf "
                "at (3, 7)"},
        {{.tensor = "v_proj.lora_A.weight", .dtype = "F16", .value = 1e6f}, DYN_INVALID,
                "adapter_model.safetensors: model.layers.0.self_attn.v_proj.lora_A: expected finite values, found inf "
                "at (3, 7)"},
        {{.tensor = "q_proj.lora_A.weight", .rename = "model.layers.0.self_attn.q_proj.lora_C.weight"}, DYN_INVALID,
                "adapter_model.safetensors: base_model.model.model.layers.0.self_attn.q_proj.lora_C.weight: expected "
                "base_model.model.MODULE.lora_A.weight or .lora_B.weight and nothing else"},
        {{.tensor = "q_proj.lora_A.weight", .rename = "!model.layers.0.self_attn.q_proj.lora_A.weight"}, DYN_INVALID,
                "adapter_model.safetensors: model.layers.0.self_attn.q_proj.lora_A.weight: expected "
                "base_model.model.MODULE.lora_A.weight or .lora_B.weight and nothing else"},
        {{.tensor = "q_proj.lora_A.weight", .rename = "model.layers.0.self_attn.q_proj.lora_magnitude_vector"},
                DYN_INVALID,
                "adapter_model.safetensors: base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector: "
                "expected base_model.model.MODULE.lora_A.weight or .lora_B.weight and nothing else"},
        {{.tensor = "q_proj.lora_A.weight", .rename = "model.layers.9.self_attn.q_proj.lora_A.weight"}, DYN_INVALID,
                "adapter_model.safetensors: base_model.model.model.layers.9.self_attn.q_proj.lora_A.weight: expected a "
                "layer of the base that can be adapted, found none of that name"},
        {{.tensor = "q_proj.lora_A.weight", .rename = "language_model.layers.0.self_attn.q_proj.lora_A.weight"},
                DYN_INVALID,
                "adapter_model.safetensors: base_model.model.language_model.layers.0.self_attn.q_proj.lora_A.weight: "
                "expected a layer of the base that can be adapted, found none of that name"},
        {{.tensor = "q_proj.lora_A.weight", .rename = "model.layers.1.self_attn.q_proj.lora_A.default.weight"},
                DYN_INVALID,
                "adapter_model.safetensors: base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight: expected "
                "one tensor, found two"},
};

static void every_broken_folder_is_refused_with_its_reason(void **state)
{
        assert_true(sizeof broken / sizeof *broken >= 40);
        for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
                struct opened o;

                open_one(&o, &broken[i].folder);
                if (o.status == DYN_OK)
                        fail_msg("row %zu was accepted, instead of: %s", i, broken[i].error);
                assert_string_equal(o.error.text, broken[i].error);
                assert_int_equal(o.status, broken[i].status);
                assert_int_equal(o.error.status, broken[i].status);
                assert_null(o.lowered.patches);
                close_one(&o);
        }
}

// A folder without any tensor, whose configuration targets nothing either.
static void an_adapter_that_adapts_nothing_is_refused(void **state)
{
        static const struct dyn_site one[] = {{"model.layers.0.self_attn.k_proj", 0, 8, 4}};
        struct dyn_sites sites = {one, 1};
        struct dyn_lowered lowered;
        struct opened o;
        const struct dyn_adapter_kind *kind;

        open_one(&o, &(struct adapter_folder){0});
        char *path = mem_printf("%s/adapter_model.safetensors", o.path);
        FILE *file = fopen(path, "wb");

        fwrite("\2\0\0\0\0\0\0\0{}", 1, 10, file);
        fclose(file);
        struct dyn_adapter_folder folder = {o.path, o.config, NULL};
        struct safetensors *empty;

        assert_int_equal(safetensors_open(&empty, path, &o.error), DYN_OK);
        folder.weights = empty;
        assert_int_equal(dyn_adapter_kind_find(&folder, &kind, &o.error), DYN_OK);
        assert_int_equal(kind->lower(&folder, &sites, &lowered, &o.error), DYN_INVALID);
        assert_string_equal(
                o.error.text, "adapter_model.safetensors: expected tensors for at least one layer, found none");
        safetensors_close(empty);
        mem_free(path);
        close_one(&o);
}

// "all-linear" is every linear layer of the blocks, and not the head even where the head could be adapted.
static void all_linear_leaves_the_head_alone(void **state)
{
        static const struct dyn_site with_head[] = {
                {"model.layers.0.self_attn.q_proj", 0, 8, 8},
                {"model.layers.0.self_attn.v_proj", 0, 8, 4},
                {"model.layers.0.mlp.down_proj", 0, 12, 8},
                {"model.layers.1.self_attn.q_proj", 1, 8, 8},
                {"model.layers.1.self_attn.v_proj", 1, 8, 4},
                {"model.layers.1.mlp.down_proj", 1, 12, 8},
                {"lm_head", -1, 8, 50},
        };
        struct opened o;

        open_at(&o,
                &(struct adapter_folder){
                        .find = "[\"q_proj\", \"v_proj\", \"down_proj\"]", .replace = "\"All-Linear\""},
                &(struct dyn_sites){with_head, 7});
        expect_ok(&o);
        assert_int_equal(o.lowered.n, 6);
        close_one(&o);
}

// A pattern whose search would take longer than the sun has left.
static void a_pattern_that_never_ends_is_refused_soon(void **state)
{
        struct opened o;
        int64_t began = clock_ns();

        open_one(&o, &(struct adapter_folder){
                             .find = "\"rank_pattern\": {}",
                             .replace = "\"rank_pattern\": {\"((([a-z._0-9]+)*)*)*[!?]\": 2}",
                     });
        assert_int_equal(o.status, DYN_UNSUPPORTED);
        assert_string_equal(o.error.text,
                "adapter_config.json: \"rank_pattern\": pattern \"((([a-z._0-9]+)*)*)*[!?]\" on "
                "model.layers.0.self_attn.q_proj: match limit exceeded");
        assert_true(clock_ns() - began < 2000000000);
        close_one(&o);
}

static void expect_answer(const struct lora_config *config, const char *site, const cJSON *expected, int row)
{
        bool targeted;
        int rank, layer = site[13] - '0';
        float scale;
        struct dyn_error err;

        assert_int_equal(target_includes(&config->target, site, layer, &targeted, &err), DYN_OK);
        if (targeted != cJSON_IsArray(expected))
                fail_msg("case %d: %s: expected %s", row, site, targeted ? "not targeted" : "targeted");
        if (!targeted)
                return;
        assert_int_equal(lora_config_scale(config, site, &rank, &scale, &err), DYN_OK);
        if (rank != cJSON_GetArrayItem(expected, 0)->valueint ||
                scale != (float)cJSON_GetArrayItem(expected, 1)->valuedouble)
                fail_msg("case %d: %s: found rank %d, scale %g", row, site, rank, (double)scale);
}

static void targets_ranks_and_scales_are_what_peft_says(void **state)
{
        cJSON *rules;
        struct dyn_error err;
        int n_cases = 0;

        assert_int_equal(json_parse_file("tests/unit/peft_rules.json", 1 << 20, &rules, &err), DYN_OK);
        const cJSON *row, *site, *sites = json_member(rules, "sites");

        cJSON_ArrayForEach(row, json_member(rules, "cases"))
        {
                struct lora_config config = {0};
                const cJSON *answer = json_member(row, "answers")->child;

                if (lora_config_init(&config, json_member(row, "config"), &err))
                        fail_msg("case %d: %s", n_cases, err.text);
                cJSON_ArrayForEach(site, sites)
                {
                        expect_answer(&config, site->valuestring, answer, n_cases);
                        answer = answer->next;
                }
                lora_config_finish(&config);
                n_cases++;
        }
        assert_true(n_cases > 50);
        cJSON_Delete(rules);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_pair_becomes_a_patch_at_its_site),
                cmocka_unit_test(what_has_no_effect_changes_nothing),
                cmocka_unit_test(factors_of_two_types_meet_in_f32),
                cmocka_unit_test(patterns_decide_rank_and_scale_of_each_module),
                cmocka_unit_test(every_broken_folder_is_refused_with_its_reason),
                cmocka_unit_test(an_adapter_that_adapts_nothing_is_refused),
                cmocka_unit_test(all_linear_leaves_the_head_alone),
                cmocka_unit_test(a_pattern_that_never_ends_is_refused_soon),
                cmocka_unit_test(targets_ranks_and_scales_are_what_peft_says),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
