// The program: picks the command, reads its options, and turns what comes back into an exit status: 0 asked to stop and
// drained, 2 a bad option or configuration, 1 could not start (the log says why in one line).
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "adapters_cli.h"
#include "bench.h"
#include "conf/conf.h"
#include "inspect.h"
#include "serve.h"

static void print_usage(FILE *out)
{
        fputs("dynlora: one base model, many adapters, one batch, over HTTP\n"
              "\n"
              "  dynlora serve --model PATH [..]  serve a model and its adapters\n"
              "  dynlora adapters ..              those of a running server; adapters help\n"
              "  dynlora inspect PATH             say what a model or an adapter folder is\n"
              "  dynlora bench [..]               measure it on this machine; bench help\n"
              "  dynlora version                  say which version this is\n"
              "  dynlora help                     this text and every option of serve\n"
              "  dynlora help conf                a configuration file with every option\n",
                out);
}

static int help(void)
{
        print_usage(stdout);
        printf("\nOptions of serve:\n\n");
        conf_print_help(stdout);
        return 0;
}

static int serve(int argc, char **argv)
{
        struct conf conf;
        struct dyn_error err;
        bool at_once = false;

        if (conf_read(&conf, argc, argv, &err) != DYN_OK) {
                fprintf(stderr, "dynlora: %s\n", err.text);
                conf_finish(&conf);
                return 2;
        }
        log_configure(conf.log_level, conf.log_format == CONF_LOG_JSON);
        signal(SIGPIPE, SIG_IGN);
        int status = serve_run(&conf, &at_once);
        if (at_once)
                _exit(status);
        conf_finish(&conf);
        return status;
}

static bool asks_for_help(int argc, char **argv)
{
        for (int i = 1; i < argc; i++)
                if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
                        return true;
        return false;
}

int main(int argc, char **argv)
{
        const char *command = argc > 1 ? argv[1] : "";

        if (strcmp(command, "help") == 0 && argc == 3 && strcmp(argv[2], "conf") == 0) {
                conf_print_sample(stdout);
                return 0;
        }
        if (strcmp(command, "adapters") == 0)
                return adapters_cli_run(argc - 2, argv + 2);
        if (strcmp(command, "bench") == 0)
                return bench_run(argc - 2, argv + 2);
        if (strcmp(command, "help") == 0 || asks_for_help(argc, argv))
                return help();
        if (strcmp(command, "serve") == 0)
                return serve(argc - 2, argv + 2);
        if (strcmp(command, "version") == 0 || strcmp(command, "--version") == 0) {
                puts("dynlora " DYNLORA_VERSION);
                return 0;
        }
        if (strcmp(command, "inspect") == 0 && argc == 3)
                return inspect_run(argv[2]);
        if (command[0] != 0 && strcmp(command, "inspect") != 0)
                fprintf(stderr, "dynlora: unknown command \"%s\"\n\n", command);
        print_usage(stderr);
        return 2;
}
