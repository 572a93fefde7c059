// `dynlora adapters ...`: what the administration routes of a running server do, for people and scripts.
#ifndef DYNLORA_ADAPTERS_CLI_H
#define DYNLORA_ADAPTERS_CLI_H

// argv: what follows "adapters". The exit status: 0, 1 if the server refused (it says why), 2 for bad usage or if there
// was no answer.
int adapters_cli_run(int argc, char **argv);

#endif
