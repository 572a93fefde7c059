// Writes a small random Llama model as a Hugging Face folder, whole or broken in one place, into a new temporary
// folder.
#ifndef DYNLORA_TESTS_TINY_MODEL_H
#define DYNLORA_TESTS_TINY_MODEL_H

struct tiny_model {
        const char *find, *replace; // in config.json: this text by that one; NULL: nothing
        const char *skip;           // leave this tensor out
        const char *extra;          // add a tensor of this name
        const char *reshape;        // give this tensor one row more
};

#define TINY_VOCAB   50
#define TINY_CONTEXT 128

// The folder's path; tiny_model_remove deletes it.
char *tiny_model_write(const struct tiny_model *);
void tiny_model_remove(char *path);

#endif
