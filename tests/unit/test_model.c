// Checkpoints that lie or ask for what is not there: each is refused with a sentence that names it. What a right one
// computes is held against transformers by tests/golden.
#include "harness.h"

#include <math.h>
#include <string.h>

#include "model/model.h"
#include "model/rope.h"
#include "tiny_model.h"

static enum dyn_status open_tiny(const struct tiny_model *t, struct dyn_error *err)
{
        char *path = tiny_model_write(t);
        struct model *m = NULL;
        struct model_options o = {
                .path = path, .ops = dyn_backend_find("plain", NULL), .threads = 1, .step_tokens = 4, .max_logit_rows = 4};
        enum dyn_status st = model_open(&m, &o, err);

        model_close(m);
        tiny_model_remove(path);
        return st;
}

static void refused(struct tiny_model t, const char *says)
{
        struct dyn_error err = {0};

        if (open_tiny(&t, &err) == DYN_OK)
                fail_msg("accepted, though %s", says);
        if (strstr(err.text, says) == NULL)
                fail_msg("expected \"%s\" in: %s", says, err.text);
}

static void accepted(struct tiny_model t)
{
        struct dyn_error err = {0};

        if (open_tiny(&t, &err) != DYN_OK)
                fail_msg("refused: %s", err.text);
}

static void a_whole_model_opens(void **state)
{
        accepted((struct tiny_model){0});
        accepted((struct tiny_model){.extra = "model.layers.0.self_attn.rotary_emb.inv_freq"});
        accepted((struct tiny_model){.extra = "lm_head.weight"}); // tied: a copy that nobody needs
        accepted((struct tiny_model){
                .find = "\"attention_bias\": false", .replace = "\"rope_scaling\": null, \"pretraining_tp\": 1"});
}

static void a_configuration_that_cannot_be_computed_is_refused_by_field(void **state)
{
        refused((struct tiny_model){.find = "\"llama\"", .replace = "\"gptj\""},
                "expected one of llama, found \"gptj\"");
        refused((struct tiny_model){.find = "\"model_type\"", .replace = "\"kind\""}, "\"model_type\" is missing");
        refused((struct tiny_model){.find = "\"silu\"", .replace = "\"gelu\""},
                "\"hidden_act\": expected \"silu\", found \"gelu\"");
        refused((struct tiny_model){.find = "\"attention_bias\": false", .replace = "\"sliding_window\": 64"},
                "\"sliding_window\" is set");
        refused((struct tiny_model){.find = "\"attention_bias\": false",
                        .replace = "\"quantization_config\": {\"bits\": 4}"},
                "\"quantization_config\" is set");
        refused((struct tiny_model){.find = "\"attention_bias\": false",
                        .replace = "\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 2}"},
                "expected type default, linear or llama3, found \"yarn\"");
        refused((struct tiny_model){.find = "\"attention_bias\": false",
                        .replace = "\"rope_scaling\": {\"type\": \"linear\"}"},
                "\"factor\" is missing");
        refused((struct tiny_model){.find = "\"attention_bias\": false", .replace = "\"partial_rotary_factor\": 0.5"},
                "\"partial_rotary_factor\": expected 1");
        refused((struct tiny_model){.find = "\"hidden_size\": 32", .replace = "\"hidden_size\": \"32\""},
                "\"hidden_size\"");
        refused((struct tiny_model){.find = "\"hidden_size\": 32", .replace = "\"hidden_size\": -5"},
                "\"hidden_size\"");
        refused((struct tiny_model){.find = "\"num_key_value_heads\": 2", .replace = "\"num_key_value_heads\": 3"},
                "4 attention heads cannot share 3");
        refused((struct tiny_model){.find = "\"attention_bias\": false", .replace = "\"head_dim\": 7"},
                "head_dim: expected an even number");
        refused((struct tiny_model){.find = "{", .replace = "["}, "config.json");
}

static void weights_that_do_not_fit_the_configuration_are_refused_by_name(void **state)
{
        refused((struct tiny_model){.skip = "model.layers.1.mlp.up_proj.weight"},
                "model.layers.1.mlp.up_proj.weight: the checkpoint has no such tensor");
        refused((struct tiny_model){.reshape = "model.layers.0.self_attn.k_proj.weight"},
                "model.layers.0.self_attn.k_proj.weight: expected (16, 32), found (17, 32)");
        refused((struct tiny_model){.reshape = "model.norm.weight"}, "model.norm.weight: expected (32), found (33)");
        refused((struct tiny_model){.extra = "model.layers.2.mlp.up_proj.weight"},
                "model.layers.2.mlp.up_proj.weight is not part of");
        refused((struct tiny_model){.extra = "model.layers.0.self_attn.q_proj.bias"}, "q_proj.bias is not part of");
        refused((struct tiny_model){.find = "\"attention_bias\": false", .replace = "\"attention_bias\": true"},
                "q_proj.bias: the checkpoint has no such tensor");
        refused((struct tiny_model){.find = "\"tie_word_embeddings\": true",
                        .replace = "\"tie_word_embeddings\": false"},
                "lm_head.weight: the checkpoint has no such tensor");
        refused((struct tiny_model){.find = "\"vocab_size\": 50", .replace = "\"vocab_size\": 51"},
                "expected (51, 32), found (50, 32)");
        refused((struct tiny_model){.find = "\"num_hidden_layers\": 2", .replace = "\"num_hidden_layers\": 1"},
                "is not part of");
}

static void a_path_that_is_not_there_is_said(void **state)
{
        struct dyn_error err;
        struct model *m = NULL;
        struct model_options o = {.path = "/nowhere/at/all", .ops = dyn_backend_find("plain", NULL)};

        assert_int_equal(model_open(&m, &o, &err), DYN_NOT_FOUND);
        assert_non_null(strstr(err.text, "/nowhere/at/all"));
}

// By the formula of transformers' llama3 rope, in double.
static void llama3_scaling_keeps_short_waves_and_slows_long_ones(void **state)
{
        struct model_config c = {.head_dim = 64,
                .rope_theta = 500000,
                .rope_scaling = ROPE_LLAMA3,
                .rope_factor = 8,
                .rope_low_freq_factor = 1,
                .rope_high_freq_factor = 4,
                .rope_original_context = 8192};
        float freq[32];
        int kept = 0, slowed = 0;

        rope_frequencies(freq, &c, NULL);
        for (int i = 0; i < 32; i++) {
                double plain = pow(500000, -2.0 * i / 64), wave = 2 * M_PI / plain, smooth = (8192 / wave - 1) / 3;
                double expected = wave > 8192   ? plain / 8
                                  : wave < 2048 ? plain
                                                : (1 - smooth) * plain / 8 + smooth * plain;

                assert_true(fabs((double)freq[i] - expected) <= 1e-5 * expected);
                kept += expected == plain;
                slowed += expected == plain / 8;
        }
        assert_true(kept > 5 && slowed > 5 && kept + slowed < 32);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_whole_model_opens),
                cmocka_unit_test(a_configuration_that_cannot_be_computed_is_refused_by_field),
                cmocka_unit_test(weights_that_do_not_fit_the_configuration_are_refused_by_name),
                cmocka_unit_test(a_path_that_is_not_there_is_said),
                cmocka_unit_test(llama3_scaling_keeps_short_waves_and_slows_long_ones),
        };
        return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
