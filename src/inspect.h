// `dynlora inspect PATH`: says on stdout what a model or an adapter folder is, or on stderr why it would be refused.
#ifndef DYNLORA_INSPECT_H
#define DYNLORA_INSPECT_H

// The exit status: 0, or 1 if it would be refused.
int inspect_run(const char *path);

#endif
