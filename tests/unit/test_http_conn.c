// Connections over time: keep-alive, pipelining, hang-ups, deadlines, slow readers, crowds. Each test has a server of
// its own, and closing it checks that nothing is left on the loop.
#include "http_world.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"

#define HEALTH "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"

static struct world w;

static void expect_body(int fd, const char *body)
{
        struct answer a = client_answer(fd, false);

        assert_int_equal(a.status, 200);
        assert_string_equal(a.body, body);
        answer_free(&a);
}

static double seconds_until_end(int fd)
{
        uint64_t start = uv_hrtime();

        assert_true(client_sees_end(fd));
        return (double)(uv_hrtime() - start) / 1e9;
}

static void a_connection_is_kept_as_the_versions_say(void **state)
{
        world_init(&w);
        world_open(&w);
        int fd = client_open(&w);
        for (int i = 0; i < 3; i++)
                expect_status(fd, HEALTH, 200);
        expect_status(fd, "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200);
        assert_true(client_sees_end(fd));
        close(fd);
        fd = client_open(&w);
        expect_status(fd, "GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200);
        expect_status(fd, "GET /health HTTP/1.0\r\n\r\n", 200);
        assert_true(client_sees_end(fd));
        close(fd);
        world_close(&w);
        assert_int_equal(w.n_done, 6);
}

static void a_pipelined_burst_is_answered_in_order(void **state)
{
        struct buf burst = {0};
        char want[16];

        world_init(&w);
        world_open(&w);
        for (int i = 0; i < 2000; i++)
                buf_printf(&burst,
                        "GET /item/%d HTTP/1.1\r\nHost: x\r\n\r\nPOST /echo HTTP/1.1\r\nHost: x\r\n"
                        "Content-Length: 3\r\n\r\nabc",
                        i);
        int fd = client_open(&w);
        client_send_n(fd, burst.data, burst.len);
        for (int i = 0; i < 2000; i++) {
                snprintf(want, sizeof want, "%d", i);
                expect_body(fd, want);
                expect_body(fd, "abc");
        }
        close(fd);
        buf_free(&burst);
        world_close(&w);
}

static void a_connection_has_one_exchange_at_a_time(void **state)
{
        world_init(&w);
        world_open(&w);
        int fd = client_open(&w);
        client_send(fd, "GET /later?q=1 HTTP/1.1\r\nHost: x\r\n\r\n" HEALTH "GET /later?q=2 HTTP/1.1\r\nHost: x\r\n\r\n"
                        "GET /later?q=3&stream HTTP/1.1\r\nHost: x\r\n\r\n" HEALTH);
        for (int i = 0; i < 3; i++) {
                world_wait(&w, &w.n_held, 1);
                usleep(20000);
                uv_mutex_lock(&w.mutex);
                assert_int_equal(w.n_held, 1);
                uv_mutex_unlock(&w.mutex);
                world_release(&w);
        }
        expect_body(fd, "later 1");
        expect_body(fd, "ok");
        expect_body(fd, "later 2");
        expect_body(fd, "data: later 3\n\n");
        expect_body(fd, "ok");
        close(fd);
        world_close(&w);
        assert_int_equal(w.n_aborted, 0);
        assert_int_equal(w.n_done, 5);
}

// Sends until the socket takes no more for 300 ms; how many bytes it took.
static size_t stuff(int fd, const char *bytes, size_t len, size_t most)
{
        size_t total = 0;
        struct pollfd p = {.fd = fd, .events = POLLOUT};

        while (total < most && poll(&p, 1, 300) > 0) {
                ssize_t n = send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (n > 0)
                        total += (size_t)n;
        }
        return total;
}

static void what_is_sent_ahead_is_bounded(void **state)
{
        static char block[65536];

        world_init(&w);
        world_open(&w);
        int fd = client_open(&w), small = 16384;
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
        client_send(fd, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
        world_wait(&w, &w.n_held, 1);
        memset(block, '\n', sizeof block);
        // The server keeps 64 KiB or little more; the rest lies in the kernel's buffers.
        assert_true(stuff(fd, block, sizeof block, 64 << 20) < 16 << 20);
        close(fd);
        world_close(&w);
}

static void a_hang_up_behind_what_was_sent_ahead_is_noticed(void **state)
{
        static char block[100000];
        static const size_t ahead[] = {0, 100, 65536, sizeof block};

        memset(block, '\n', sizeof block);
        for (int i = 0; i < 4; i++) {
                world_init(&w);
                world_open(&w);
                int fd = client_open(&w);
                client_send(fd, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
                world_wait(&w, &w.n_held, 1);
                client_send_n(fd, block, ahead[i]);
                shutdown(fd, SHUT_WR);
                world_wait(&w, &w.n_aborted, 1);
                close(fd);
                world_close(&w);
                assert_int_equal(w.n_done, 1);
                assert_int_equal(w.done_status[0], 499);
        }
}

static void any_kind_of_hang_up_aborts_the_exchange_once(void **state)
{
        struct linger reset = {.l_onoff = 1};

        world_init(&w);
        world_open(&w);
        for (int how = 0; how < 3; how++)
                for (int stream = 0; stream < 2; stream++) {
                        int fd = client_open(&w);
                        client_send(fd, stream ? "GET /later?stream HTTP/1.1\r\nHost: x\r\n\r\n"
                                               : "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
                        world_wait(&w, &w.n_held, 1);
                        if (how == 0)
                                shutdown(fd, SHUT_WR);
                        if (how == 1)
                                setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
                        if (how > 0)
                                close(fd);
                        world_wait(&w, &w.n_aborted, how * 2 + stream + 1);
                        if (how == 0)
                                close(fd);
                }
        world_close(&w);
        assert_int_equal(w.n_aborted, 6);
        assert_int_equal(w.n_done, 6);
        for (int i = 0; i < 6; i++)
                assert_int_equal(w.done_status[i], 499);
}

static void write_to_the_gone(struct world *world, void *arg)
{
        struct linger reset = {.l_onoff = 1};
        static char block[1000];
        int aborted = world->n_aborted;

        setsockopt(*(int *)arg, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(*(int *)arg);
        for (int i = 0; i < 100; i++)
                http_stream_write(world->held[0], block, sizeof block);
        http_stream_event(world->held[0], NULL, "x", 1);
        assert_int_equal(world->n_aborted, aborted);
        // That a stream can still be closed is the other half of the promise.
        if (world->n_held == 2)
                http_stream_close(world->held[0]);
}

static void writing_to_a_peer_that_left_aborts_from_the_loop_and_not_from_the_call(void **state)
{
        world_init(&w);
        world_open(&w);
        int fd = client_open(&w);
        client_send(fd, "GET /later?stream HTTP/1.1\r\nHost: x\r\n\r\n");
        world_wait(&w, &w.n_held, 1);
        world_do(&w, write_to_the_gone, &fd);
        world_wait(&w, &w.n_done, 1);
        assert_int_equal(w.n_aborted, 1);
        int first = client_open(&w), second = client_open(&w);
        client_send(first, "GET /later?stream HTTP/1.1\r\nHost: x\r\n\r\n");
        world_wait(&w, &w.n_held, 1);
        client_send(second, "GET /later?stream HTTP/1.1\r\nHost: x\r\n\r\n");
        world_wait(&w, &w.n_held, 2);
        world_do(&w, write_to_the_gone, &first);
        world_wait(&w, &w.n_done, 2);
        assert_int_equal(w.n_aborted, 1);
        assert_int_equal(w.done_status[1], 499);
        close(second);
        world_wait(&w, &w.n_aborted, 2);
        world_close(&w);
        assert_int_equal(w.n_done, 3);
}

static void a_slow_head_and_a_slow_body_are_408(void **state)
{
        world_init(&w);
        w.options.header_seconds = w.options.body_seconds = 1;
        world_open(&w);
        int head = client_open(&w), body = client_open(&w);
        client_send(head, "GET /hea");
        client_send(body, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n");
        // Trickling does not help.
        for (int i = 0; i < 6; i++) {
                usleep(100000);
                client_send(head, "a");
                client_send(body, "a");
        }
        uint64_t start = uv_hrtime();
        struct answer a = client_answer(head, false);
        assert_int_equal(a.status, 408);
        assert_true(uv_hrtime() - start < 5000000000);
        answer_free(&a);
        a = client_answer(body, false);
        assert_int_equal(a.status, 408);
        answer_free(&a);
        assert_true(client_sees_end(head));
        assert_true(client_sees_end(body));
        close(head);
        close(body);
        world_close(&w);
}

static void an_idle_connection_is_closed_without_a_word_and_a_running_exchange_is_not(void **state)
{
        world_init(&w);
        w.options.idle_seconds = 1;
        world_open(&w);
        int fresh = client_open(&w), used = client_open(&w), running = client_open(&w);
        client_send(running, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
        expect_status(used, HEALTH, 200);
        double s = seconds_until_end(fresh);
        assert_true(s > 0.5 && s < 8);
        assert_true(client_sees_end(used));
        usleep(500000);
        world_wait(&w, &w.n_held, 1);
        world_release(&w);
        expect_body(running, "later ");
        close(fresh);
        close(used);
        close(running);
        world_close(&w);
        assert_int_equal(w.n_done, 2);
}

static void flood_body_slowly(int fd, size_t n)
{
        static char block[65536];
        struct buf got = {0};

        while (got.len < 2 || memcmp(got.data + got.len - 2, "\n\r", 2) != 0) {
                assert_int_equal(recv(fd, buf_reserve(&got, 1), 1, 0), 1);
                got.len++;
        }
        buf_clear(&got);
        while (got.len < 5 || memcmp(got.data + got.len - 5, "0\r\n\r\n", 5) != 0) {
                ssize_t len = recv(fd, block, sizeof block, 0);
                assert_true(len > 0);
                buf_append(&got, block, (size_t)len);
                usleep(2000);
        }
        // Undo the chunks. The first byte is the last of the head.
        size_t at = 1, total = 0;
        while (total < n) {
                size_t size = 0;
                for (; got.data[at] != '\r'; at++)
                        size = size * 16 + (size_t)(got.data[at] <= '9' ? got.data[at] - '0' : got.data[at] - 'a' + 10);
                at += 2;
                for (size_t i = 0; i < size; i++)
                        if (got.data[at + i] != (char)('a' + (total + i) % 23))
                                fail_msg("byte %zu differs", total + i);
                at += size + 2;
                total += size;
        }
        assert_int_equal(total, n);
        buf_free(&got);
}

static void a_slow_reader_gets_every_byte_while_the_backlog_stays_bounded(void **state)
{
        char path[] = "unix:/tmp/test_http_conn.XXXXXX";

        // A unix socket's buffer in the kernel is smaller than the backlog, a TCP socket's larger.
        for (int is_unix = 0; is_unix < 2; is_unix++) {
                world_init(&w);
                if (is_unix) {
                        close(mkstemp(path + 5));
                        unlink(path + 5);
                        w.options.listen = path;
                }
                world_open(&w);
                int fd = client_open(&w), small = 262144;
                setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
                client_send(fd, "GET /flood?n=20000000 HTTP/1.1\r\nHost: x\r\n\r\n");
                usleep(300000);
                flood_body_slowly(fd, 20000000);
                expect_status(fd, HEALTH, 200);
                close(fd);
                world_close(&w);
                assert_true(w.n_drained_calls > 2);
                assert_true(w.max_backlog > HTTP_BACKLOG_HIGH && w.max_backlog < HTTP_BACKLOG_HIGH + 2000);
                assert_true(w.max_when_drained <= HTTP_BACKLOG_HIGH / 4);
                assert_int_equal(w.n_aborted, 0);
        }
}

static void a_peer_that_reads_nothing_is_dropped_and_a_slow_one_is_not(void **state)
{
        world_init(&w);
        w.options.write_seconds = 1;
        world_open(&w);
        int dead = client_open(&w), slow = client_open(&w), small = 262144;
        static char block[200000];
        setsockopt(slow, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        client_send(dead, "GET /flood?n=100000000 HTTP/1.1\r\nHost: x\r\n\r\n");
        client_send(slow, "GET /flood?n=100000000 HTTP/1.1\r\nHost: x\r\n\r\n");
        for (int i = 0; i < 25; i++) {
                usleep(100000);
                assert_true(recv(slow, block, sizeof block, 0) > 0);
        }
        uv_mutex_lock(&w.mutex);
        assert_int_equal(w.n_aborted, 1);
        uv_mutex_unlock(&w.mutex);
        close(slow);
        close(dead);
        world_wait(&w, &w.n_aborted, 2);
        world_close(&w);
}

static void requests_ahead_of_unread_answers_wait(void **state)
{
        static char body[100000];
        char *want = mem_zalloc(sizeof body);

        world_init(&w);
        world_open(&w);
        int fd = client_open(&w), child;
        memset(body, 'x', sizeof body);
        memcpy(want, body, sizeof body);
        // A child sends 200 requests of 100 kB, whose answers nobody reads yet.
        if ((child = fork()) == 0) {
                for (int i = 0; i < 200; i++) {
                        client_send(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
                        client_send_n(fd, body, sizeof body);
                }
                _exit(0);
        }
        usleep(500000);
        uv_mutex_lock(&w.mutex);
        int early = w.n_handled;
        uv_mutex_unlock(&w.mutex);
        assert_true(early > 0 && early < 200);
        for (int i = 0; i < 200; i++) {
                struct answer a = client_answer(fd, false);
                assert_int_equal(a.len, sizeof body);
                assert_memory_equal(a.body, want, sizeof body);
                answer_free(&a);
        }
        waitpid(child, NULL, 0);
        close(fd);
        mem_free(want);
        world_close(&w);
}

static void five_hundred_connections_are_all_served(void **state)
{
        static int fds[500];

        world_init(&w);
        world_open(&w);
        for (int i = 0; i < 500; i++)
                fds[i] = client_open(&w);
        for (int round = 0; round < 3; round++) {
                for (int i = 0; i < 500; i++)
                        client_send(fds[i], i % 3 ? HEALTH : "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
                for (int i = 0; i < 500; i++)
                        if (i % 3)
                                expect_body(fds[i], "ok");
                world_wait(&w, &w.n_held, 167);
                for (int i = 0; i < 167; i++)
                        world_release(&w);
                for (int i = 0; i < 500; i += 3)
                        expect_body(fds[i], "later ");
        }
        // Half of them hang up in an exchange.
        for (int i = 0; i < 500; i += 2)
                client_send(fds[i], "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
        world_wait(&w, &w.n_held, 250);
        for (int i = 0; i < 500; i++)
                close(fds[i]);
        world_wait(&w, &w.n_aborted, 250);
        world_close(&w);
        assert_int_equal(w.n_done, 1750);
}

static void on_drained(void *ctx)
{
        struct world *world = ctx;

        uv_mutex_lock(&world->mutex);
        world->drain_done = true;
        uv_mutex_unlock(&world->mutex);
}

static void drain(struct world *world, void *arg)
{
        http_wind_down(world->server);
        http_drain(world->server, on_drained, world);
        assert_false(world->drain_done);
}

static bool drained(void)
{
        uv_mutex_lock(&w.mutex);
        bool done = w.drain_done;
        uv_mutex_unlock(&w.mutex);
        return done;
}

static void a_drain_closes_the_idle_at_once_and_lets_the_others_end(void **state)
{
        world_init(&w);
        world_open(&w);
        int idle = client_open(&w), running = client_open(&w), stream = client_open(&w), half = client_open(&w);
        expect_status(idle, HEALTH, 200);
        client_send(running, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n" HEALTH);
        world_wait(&w, &w.n_held, 1);
        client_send(stream, "GET /later?stream HTTP/1.1\r\nHost: x\r\n\r\n");
        world_wait(&w, &w.n_held, 2);
        client_send(half, "GET /hea");
        usleep(50000);
        world_do(&w, drain, NULL);
        assert_true(seconds_until_end(idle) < 5);
        client_send(half, "lth HTTP/1.1\r\nHost: x\r\n\r\n");
        struct answer a = client_answer(half, false);
        assert_int_equal(a.status, 200);
        assert_string_equal(answer_header(&a, "connection"), "close");
        answer_free(&a);
        world_release(&w);
        a = client_answer(running, false);
        assert_string_equal(a.body, "later ");
        assert_string_equal(answer_header(&a, "connection"), "close");
        answer_free(&a);
        assert_true(client_sees_end(running));
        assert_false(drained());
        world_release(&w);
        expect_body(stream, "data: later \n\n");
        assert_true(client_sees_end(stream));
        close(idle);
        close(running);
        close(stream);
        close(half);
        for (int i = 0; i < 100 && !drained(); i++)
                usleep(20000);
        assert_true(drained());
        world_close(&w);
        assert_int_equal(w.n_aborted, 0);
}

static void a_drain_of_nothing_is_done_at_once(void **state)
{
        world_init(&w);
        world_open(&w);
        world_do(&w, drain, NULL);
        for (int i = 0; i < 100 && !drained(); i++)
                usleep(10000);
        assert_true(drained());
        world_close(&w);
}

static void cut_off(struct world *world, void *arg)
{
        struct buf body = {0};

        buf_puts(&body, "{\"error\":1}");
        http_cut_off(world->server, 503, &body);
        buf_free(&body);
}

static void expect_cut_off(int fd)
{
        struct answer a = client_answer(fd, false);

        assert_int_equal(a.status, 503);
        assert_string_equal(a.body, "{\"error\":1}");
        assert_string_equal(answer_header(&a, "connection"), "close");
        answer_free(&a);
        assert_true(client_sees_end(fd));
        close(fd);
}

static void whoever_is_cut_off_is_told(void **state)
{
        world_init(&w);
        world_open(&w);
        int running = client_open(&w), stream = client_open(&w), head = client_open(&w), body = client_open(&w);
        client_send(running, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n" HEALTH);
        client_send(stream, "GET /later?stream HTTP/1.1\r\nHost: x\r\n\r\n");
        world_wait(&w, &w.n_held, 2);
        client_send(head, "GET /hea");
        client_send(body, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab");
        usleep(50000);
        world_do(&w, drain, NULL);
        world_do(&w, cut_off, NULL);
        expect_cut_off(running);
        expect_cut_off(head);
        expect_cut_off(body);
        expect_body(stream, "event: error\ndata: {\"error\":1}\n\n");
        assert_true(client_sees_end(stream));
        close(stream);
        for (int i = 0; i < 100 && !drained(); i++)
                usleep(20000);
        assert_true(drained());
        world_close(&w);
        assert_int_equal(w.n_aborted, 2);
}

static void closing_aborts_what_is_open(void **state)
{
        int fds[20], before = open_descriptors();

        world_init(&w);
        world_open(&w);
        for (int i = 0; i < 20; i++) {
                fds[i] = client_open(&w);
                client_send(
                        fds[i], i % 2 ? "GET /later HTTP/1.1\r\nHost: x\r\n\r\n" HEALTH : "POST /echo HTTP/1.1\r\nHo");
        }
        world_wait(&w, &w.n_held, 10);
        world_close(&w);
        assert_int_equal(w.n_aborted, 10);
        for (int i = 0; i < 20; i++)
                close(fds[i]);
        // One descriptor stays: libuv's reserve for when there are no more.
        assert_true(open_descriptors() <= before + 1);
}

static void on_done_tells_how_long_an_answer_took(void **state)
{
        world_init(&w);
        world_open(&w);
        int fd = client_open(&w);
        client_send(fd, "POST /later?x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na");
        world_wait(&w, &w.n_held, 1);
        usleep(300000);
        world_release(&w);
        expect_body(fd, "later ");
        close(fd);
        world_close(&w);
        assert_int_equal(w.n_done, 1);
        assert_int_equal(w.done_status[0], 200);
        assert_string_equal(w.done_line[0], "POST /later");
        assert_true(w.done_seconds[0] > 0.29 && w.done_seconds[0] < 5);
}

static void on_done_tells_why_an_answer_is_none(void **state)
{
        world_init(&w);
        world_open(&w);
        int fd = client_open(&w);
        expect_status(fd, HEALTH, 200);
        expect_status(fd, "GET /failure HTTP/1.1\r\nHost: x\r\n\r\n", 507);
        expect_status(fd, "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 404);
        close(fd);
        world_close(&w);
        assert_string_equal(w.done_why[0], "");
        assert_string_equal(w.done_why[1], "no room");
        assert_string_equal(w.done_why[2], "no such path: /nowhere");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_connection_is_kept_as_the_versions_say),
                cmocka_unit_test(a_pipelined_burst_is_answered_in_order),
                cmocka_unit_test(a_connection_has_one_exchange_at_a_time),
                cmocka_unit_test(what_is_sent_ahead_is_bounded),
                cmocka_unit_test(a_hang_up_behind_what_was_sent_ahead_is_noticed),
                cmocka_unit_test(any_kind_of_hang_up_aborts_the_exchange_once),
                cmocka_unit_test(writing_to_a_peer_that_left_aborts_from_the_loop_and_not_from_the_call),
                cmocka_unit_test(a_slow_head_and_a_slow_body_are_408),
                cmocka_unit_test(an_idle_connection_is_closed_without_a_word_and_a_running_exchange_is_not),
                cmocka_unit_test(a_slow_reader_gets_every_byte_while_the_backlog_stays_bounded),
                cmocka_unit_test(a_peer_that_reads_nothing_is_dropped_and_a_slow_one_is_not),
                cmocka_unit_test(requests_ahead_of_unread_answers_wait),
                cmocka_unit_test(five_hundred_connections_are_all_served),
                cmocka_unit_test(a_drain_closes_the_idle_at_once_and_lets_the_others_end),
                cmocka_unit_test(a_drain_of_nothing_is_done_at_once),
                cmocka_unit_test(whoever_is_cut_off_is_told),
                cmocka_unit_test(closing_aborts_what_is_open),
                cmocka_unit_test(on_done_tells_how_long_an_answer_took),
                cmocka_unit_test(on_done_tells_why_an_answer_is_none),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
