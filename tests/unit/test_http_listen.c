// Where a server listens, and how many it lets in. The clients are plain sockets.
#include "http_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "http/server.h"

#define HEALTH "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"

static struct world w;
static char folder[] = "/tmp/test_http_listen.XXXXXX";

static int setup(void **state)
{
        return mkdtemp(folder) == NULL;
}

static int teardown(void **state)
{
        return rmdir(folder);
}

static const char *in_folder(const char *name)
{
        static char path[128];

        snprintf(path, sizeof path, "unix:%s/%s", folder, name);
        return path;
}

static void served_at(const char *listen, const char *prefix)
{
        world_init(&w);
        w.options.listen = listen;
        world_open(&w);
        assert_int_equal(strncmp(http_address(w.server), prefix, strlen(prefix)), 0);
        int fd = client_open(&w);
        expect_status(fd, HEALTH, 200);
        close(fd);
        world_close(&w);
}

static void port_zero_picks_a_port_that_the_address_tells(void **state)
{
        served_at("127.0.0.1:0", "127.0.0.1:");
        served_at("localhost:0", "127.0.0.1:");
        served_at("0.0.0.0:0", "0.0.0.0:");
        served_at("[::1]:0", "[::1]:");
        served_at("[::]:0", "[::]:");
}

static enum dyn_status tried(const char *listen_at, struct dyn_error *err)
{
        struct http_endpoint e;
        enum dyn_status status = http_endpoint_open(&e, listen_at, err);

        assert_int_not_equal(status, DYN_OK);
        assert_true(strlen(err->text) > 10);
        return status;
}

static void what_is_no_address_is_invalid(void **state)
{
        static const char *const bad[] = {"", "8000", ":8000", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x",
                "127.0.0.1:80x", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:99999999999999999999", "::1:80",
                "[::1]80", "[::1]", "unix:", "300.1.1.1:80", "127.0.0.1:000080"};
        struct dyn_error err;

        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
                if (tried(bad[i], &err) != DYN_INVALID)
                        fail_msg("%s: %s", bad[i], err.text);
        char path[200] = "unix:/";
        memset(path + 6, 'a', sizeof path - 7);
        path[199] = 0;
        assert_int_equal(tried(path, &err), DYN_INVALID);
}

static void an_address_in_use_is_a_conflict(void **state)
{
        struct dyn_error err;

        world_init(&w);
        world_open(&w);
        assert_int_equal(tried(http_address(w.server), &err), DYN_CONFLICT);
        world_close(&w);
        world_init(&w);
        w.options.listen = in_folder("sock");
        world_open(&w);
        assert_int_equal(tried(http_address(w.server), &err), DYN_CONFLICT);
        // The attempt did not harm the server that is there.
        int fd = client_open(&w);
        expect_status(fd, HEALTH, 200);
        close(fd);
        world_close(&w);
}

static void a_unix_socket_serves_and_its_file_is_removed_at_close(void **state)
{
        const char *at = in_folder("sock");
        struct stat st;

        served_at(at, at);
        assert_int_equal(lstat(at + 5, &st), -1);
}

static void a_dead_servers_socket_file_is_replaced_and_a_plain_file_is_not(void **state)
{
        const char *at = in_folder("sock");
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        struct dyn_error err;
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);

        strcpy(a.sun_path, at + 5);
        assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
        close(fd);
        served_at(at, at);
        fclose(fopen(at + 5, "w"));
        assert_int_equal(tried(at, &err), DYN_CONFLICT);
        assert_int_equal(access(at + 5, F_OK), 0);
        unlink(at + 5);
}

static void a_socket_file_that_is_another_servers_by_now_stays(void **state)
{
        const char *at = in_folder("sock");

        world_init(&w);
        w.options.listen = at;
        world_open(&w);
        unlink(at + 5);
        fclose(fopen(at + 5, "w"));
        world_close(&w);
        assert_int_equal(access(at + 5, F_OK), 0);
        unlink(at + 5);
}

static void connections_over_the_limit_get_503_and_others_are_served(void **state)
{
        int in[3], over[100];

        world_init(&w);
        w.options.max_connections = 3;
        world_open(&w);
        for (int i = 0; i < 3; i++) {
                in[i] = client_open(&w);
                expect_status(in[i], HEALTH, 200);
        }
        over[0] = client_open(&w);
        client_send(over[0], HEALTH);
        struct answer a = client_answer(over[0], false);
        assert_int_equal(a.status, 503);
        assert_string_equal(answer_header(&a, "retry-after"), "1");
        assert_string_equal(answer_header(&a, "connection"), "close");
        assert_true(client_sees_end(over[0]));
        answer_free(&a);
        close(over[0]);
        for (int i = 0; i < 100; i++)
                over[i] = client_open(&w);
        for (int i = 0; i < 3; i++)
                expect_status(in[i], HEALTH, 200);
        for (int i = 0; i < 100; i++)
                close(over[i]);
        close(in[0]);
        for (int i = 0; i < 100; i++) {
                usleep(20000);
                in[0] = client_open(&w);
                client_send(in[0], HEALTH);
                a = client_answer(in[0], false);
                int status = a.status;
                answer_free(&a);
                if (status == 200)
                        break;
                close(in[0]);
                assert_true(i < 99);
        }
        for (int i = 0; i < 3; i++)
                close(in[i]);
        world_close(&w);
}

static double cpu_seconds(void)
{
        struct rusage u;

        getrusage(RUSAGE_SELF, &u);
        return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
               (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

// Leaves the server room for a few more descriptors only; a child's clients then want more.
static void without_descriptors_it_neither_spins_nor_stops_serving(void **state)
{
        struct rlimit limit;
        int lead[2], back[2], status;
        char byte;

        world_init(&w);
        world_open(&w);
        assert_int_equal(pipe(lead) | pipe(back), 0);
        int first = client_open(&w);
        expect_status(first, HEALTH, 200);
        pid_t child = fork();
        if (child == 0) {
                int fds[40];
                if (read(lead[0], &byte, 1) != 1)
                        _exit(1);
                for (int i = 0; i < 40; i++)
                        fds[i] = client_open(&w);
                if (write(back[1], "a", 1) != 1 || read(lead[0], &byte, 1) != 1)
                        _exit(1);
                for (int i = 0; i < 40; i++)
                        close(fds[i]);
                _exit(0);
        }
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        rlim_t before = limit.rlim_cur;
        limit.rlim_cur = (rlim_t)open_descriptors() + 6;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        assert_int_equal(write(lead[1], "a", 1), 1);
        assert_int_equal(read(back[0], &byte, 1), 1);
        double cpu = cpu_seconds();
        usleep(500000);
        assert_true(cpu_seconds() - cpu < 0.1);
        expect_status(first, HEALTH, 200);
        assert_int_equal(write(lead[1], "b", 1), 1);
        waitpid(child, &status, 0);
        assert_int_equal(status, 0);
        limit.rlim_cur = before;
        setrlimit(RLIMIT_NOFILE, &limit);
        int second = client_open(&w);
        expect_status(second, HEALTH, 200);
        close(first);
        close(second);
        close(lead[0]);
        close(lead[1]);
        close(back[0]);
        close(back[1]);
        world_close(&w);
}

static void listening_raises_the_descriptor_limit(void **state)
{
        struct rlimit limit;

        getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = 100;
        setrlimit(RLIMIT_NOFILE, &limit);
        world_init(&w);
        world_open(&w);
        getrlimit(RLIMIT_NOFILE, &limit);
        assert_true(limit.rlim_cur == limit.rlim_max);
        world_close(&w);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(port_zero_picks_a_port_that_the_address_tells),
                cmocka_unit_test(what_is_no_address_is_invalid),
                cmocka_unit_test(an_address_in_use_is_a_conflict),
                cmocka_unit_test(a_unix_socket_serves_and_its_file_is_removed_at_close),
                cmocka_unit_test(a_dead_servers_socket_file_is_replaced_and_a_plain_file_is_not),
                cmocka_unit_test(a_socket_file_that_is_another_servers_by_now_stays),
                cmocka_unit_test(connections_over_the_limit_get_503_and_others_are_served),
                cmocka_unit_test(without_descriptors_it_neither_spins_nor_stops_serving),
                cmocka_unit_test(listening_raises_the_descriptor_limit),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
