// The Llama architecture (Touvron et al., 2023): pre-norm blocks of grouped-query attention with rotary positions and a
// SiLU-gated feed-forward. SmolLM2, Llama 2 and 3, TinyLlama and Mistral in GGUF form are all this.
#include "model/step.h"
#include "model/weights.h"

static enum dyn_status load_layer(struct model *m, struct weights *w, struct layer *l, int i, struct dyn_error *err)
{
        const struct model_config *c = &m->config;
        int q_dim = c->n_heads * c->head_dim, kv_dim = c->n_kv_heads * c->head_dim;
        enum dyn_status st;

        l->index = i;
        if ((st = weights_vector(w, &l->attn_norm, c->dim, err, "model.layers.%d.input_layernorm.weight", i)) ||
                (st = weights_site(w, &l->q, q_dim, c->dim, c->attention_bias, i, "self_attn.q_proj", err)) ||
                (st = weights_site(w, &l->k, kv_dim, c->dim, c->attention_bias, i, "self_attn.k_proj", err)) ||
                (st = weights_site(w, &l->v, kv_dim, c->dim, c->attention_bias, i, "self_attn.v_proj", err)) ||
                (st = weights_site(w, &l->o, c->dim, q_dim, c->attention_bias, i, "self_attn.o_proj", err)) ||
                (st = weights_vector(
                         w, &l->ffn_norm, c->dim, err, "model.layers.%d.post_attention_layernorm.weight", i)) ||
                (st = weights_site(w, &l->gate, c->hidden_dim, c->dim, c->mlp_bias, i, "mlp.gate_proj", err)) ||
                (st = weights_site(w, &l->up, c->hidden_dim, c->dim, c->mlp_bias, i, "mlp.up_proj", err)))
                return st;
        return weights_site(w, &l->down, c->dim, c->hidden_dim, c->mlp_bias, i, "mlp.down_proj", err);
}

static enum dyn_status load(struct model *m, struct weights *w, struct dyn_error *err)
{
        const struct model_config *c = &m->config;
        enum dyn_status st = weights_matrix(w, &m->embed, c->vocab_size, c->dim, "model.embed_tokens.weight", err);

        for (int i = 0; st == DYN_OK && i < c->n_layers; i++)
                st = load_layer(m, w, &m->layers[i], i, err);
        if (st == DYN_OK)
                st = weights_vector(w, &m->out_norm, c->dim, err, "model.norm.weight");
        if (st == DYN_OK && !c->tied_head)
                st = weights_matrix(w, &m->head, c->vocab_size, c->dim, "lm_head.weight", err);
        return st;
}

static void block(struct step *s, const struct layer *l)
{
        rmsnorm(s, s->h, s->x, l->attn_norm); // (n_rows, dim)
        // (n_rows, n_heads * head_dim), 2 x (n_rows, n_kv_heads * head_dim)
        linear_all(s, s->h, (struct output[]){{s->q, &l->q}, {s->k, &l->k}, {s->v, &l->v}}, 3);
        rope(s, s->q, s->k);
        kv_write(s, l->index, s->k, s->v);
        attention(s, s->h, s->q, l->index); // (n_rows, n_heads * head_dim)
        linear_add(s, s->x, s->h, &l->o);   // x += o(h)

        rmsnorm(s, s->h, s->x, l->ffn_norm);                                             // (n_rows, dim)
        linear_all(s, s->h, (struct output[]){{s->gate, &l->gate}, {s->up, &l->up}}, 2); // 2 x (n_rows, hidden_dim)
        silu_mul(s, s->gate, s->up);
        linear_add(s, s->x, s->gate, &l->down); // x += down(silu(gate) * up)
}

static void forward(struct step *s)
{
        embed(s, s->x); // (n_rows, dim)
        for (int i = 0; i < s->c->n_layers; i++)
                block(s, &s->model->layers[i]);
}

extern const struct dyn_arch dyn_arch_llama;
const struct dyn_arch dyn_arch_llama = {.name = "llama", .load = load, .forward = forward};
