// Requests as bytes: what is accepted, what is refused and with which status, and that the connection is where it
// should be afterwards. The oracle is RFC 9110 and 9112.
#include "http_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"

static struct world w;

static int setup(void **state)
{
        world_init(&w);
        w.options.max_header = 4096;
        w.options.max_body = 100000;
        world_open(&w);
        return 0;
}

static int teardown(void **state)
{
        world_close(&w);
        return 0;
}

// One request on a connection of its own; a refusal must close the connection in order, without a reset.
static void refused(const char *request, int status)
{
        int fd = client_open(&w);

        client_send(fd, request);
        struct answer a = client_answer(fd, false);
        if (a.status != status)
                fail_msg("expected %d, found %s%s to %s", status, a.head, a.body, request);
        assert_string_equal(answer_header(&a, "connection"), "close");
        assert_string_equal(answer_header(&a, "content-type"), "application/json");
        assert_non_null(strstr(a.body, "\"error\""));
        assert_true(client_sees_end(fd));
        answer_free(&a);
        close(fd);
}

static void answered(const char *request, const char *body)
{
        int fd = client_open(&w);

        client_send(fd, request);
        struct answer a = client_answer(fd, false);
        if (a.status != 200 || strcmp(a.body, body) != 0)
                fail_msg("expected 200 %s, found %s%s to %s", body, a.head, a.body, request);
        answer_free(&a);
        expect_status(fd, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n", 200);
        close(fd);
}

static void bytes_one_by_one_make_the_same_request(void **state)
{
        const char *request = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                              "3\r\nabc\r\nA;name=v\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n";
        int fd = client_open(&w);

        for (const char *c = request; *c != 0; c++)
                client_send_n(fd, c, 1);
        struct answer a = client_answer(fd, false);
        assert_int_equal(a.status, 200);
        assert_string_equal(a.body, "abc0123456789");
        answer_free(&a);
        expect_status(fd, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n", 200);
        close(fd);
}

static void bodies_by_length_and_by_chunks_arrive_whole(void **state)
{
        answered("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "hello");
        answered("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "");
        answered("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "");
        answered("POST /echo HTTP/1.1\r\nHost: x\r\ntransfer-encoding: CHUNKED\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
                "abc");
        // Bytes of any value, NUL too.
        char bytes[256];
        int fd = client_open(&w);
        for (int i = 0; i < 256; i++)
                bytes[i] = (char)i;
        client_send(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 256\r\n\r\n");
        client_send_n(fd, bytes, 256);
        struct answer a = client_answer(fd, false);
        assert_int_equal(a.len, 256);
        assert_memory_equal(a.body, bytes, 256);
        answer_free(&a);
        close(fd);
}

static void a_body_at_the_limit_passes_and_one_byte_more_is_413(void **state)
{
        char *body = mem_zalloc(100001), head[200];

        for (int more = 0; more < 2; more++) {
                int fd = client_open(&w);
                snprintf(head, sizeof head, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n",
                        100000 + more);
                client_send(fd, head);
                client_send_n(fd, body, 100000);
                struct answer a = client_answer(fd, false);
                assert_int_equal(a.status, more ? 413 : 200);
                answer_free(&a);
                close(fd);

                fd = client_open(&w);
                client_send(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
                for (int i = 0; i < 10; i++) {
                        client_send(fd, "2710\r\n");
                        client_send_n(fd, body, 10000);
                        client_send(fd, "\r\n");
                }
                client_send(fd, more ? "1\r\nx\r\n0\r\n\r\n" : "0\r\n\r\n");
                a = client_answer(fd, false);
                assert_int_equal(a.status, more ? 413 : 200);
                assert_true(!more || client_sees_end(fd));
                answer_free(&a);
                close(fd);
        }
        mem_free(body);
}

static void a_client_that_sends_its_whole_huge_body_first_still_reads_413(void **state)
{
        char *block = mem_zalloc(1 << 20);
        int fd = client_open(&w);

        client_send(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 33554432\r\n\r\n");
        for (int i = 0; i < 32; i++)
                client_send_n(fd, block, 1 << 20);
        struct answer a = client_answer(fd, false);
        assert_int_equal(a.status, 413);
        assert_true(client_sees_end(fd));
        answer_free(&a);
        close(fd);
        mem_free(block);
}

static void an_upload_may_be_longer_than_a_body_and_arrives_whole(void **state)
{
        size_t len = 4 << 20;
        char *bytes = mem_alloc(len + 1), head[200];

        for (size_t i = 0; i <= len; i++)
                bytes[i] = (char)(i * 7 + i / 251);
        for (int more = 0; more < 2; more++) {
                int fd = client_open(&w);
                snprintf(head, sizeof head, "PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
                        len + more);
                client_send(fd, head);
                client_send_n(fd, bytes, len + more);
                struct answer a = client_answer(fd, false);
                assert_int_equal(a.status, more ? 413 : 200);
                if (!more) {
                        assert_int_equal(a.len, len);
                        assert_memory_equal(a.body, bytes, len);
                }
                answer_free(&a);
                close(fd);
        }
        // In chunks, and one that is broken off.
        answered(
                "PUT /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
                "abcde");
        int before = open_descriptors(), fd = client_open(&w);
        snprintf(head, sizeof head, "PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf");
        client_send(fd, head);
        shutdown(fd, SHUT_WR);
        assert_true(client_sees_end(fd));
        close(fd);
        for (int i = 0; i < 100 && open_descriptors() > before; i++)
                usleep(10000);
        assert_true(open_descriptors() <= before);
        mem_free(bytes);
}

static void expect_100_is_answered_before_the_body_and_only_if_it_will_be_read(void **state)
{
        int fd = client_open(&w);

        client_send(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-Continue\r\n\r\n");
        struct answer a = client_answer(fd, false);
        assert_int_equal(a.status, 100);
        answer_free(&a);
        client_send(fd, "hi");
        a = client_answer(fd, false);
        assert_int_equal(a.status, 200);
        assert_string_equal(a.body, "hi");
        answer_free(&a);
        close(fd);
        refused("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\nExpect: 100-continue\r\n\r\n", 413);
        refused("POST /no HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n", 404);
        refused("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: tea\r\n\r\n", 417);
        // HTTP/1.0 has no expectations.
        fd = client_open(&w);
        expect_status(fd, "POST /echo HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi", 200);
        close(fd);
}

static void a_body_without_a_length_is_411(void **state)
{
        refused("POST /echo HTTP/1.1\r\nHost: x\r\n\r\n", 411);
        refused("POST /echo HTTP/1.0\r\n\r\n", 411);
}

static void malformed_requests_are_400(void **state)
{
        static const char *const bad[] = {
                "\x16\x03\x01\x02garbage\r\n\r\n",
                "GET\r\n\r\n",
                "GET /health HTTX/1.1\r\nHost: x\r\n\r\n",
                "get /health HTTP/1.1\r\nHost: x\r\n\r\n",
                "GET /he\x01lth HTTP/1.1\r\nHost: x\r\n\r\n",
                "GET health HTTP/1.1\r\nHost: x\r\n\r\n",
                "GET /health#top HTTP/1.1\r\nHost: x\r\n\r\n",
                "GET /health HTTP/1.1\r\n\r\n",
                "GET /health HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
                "GET /health HTTP/1.1\r\nHost: x\r\nNo colon\r\n\r\n",
                "GET /health HTTP/1.1\r\nHost: x\r\nSpace : a\r\n\r\n",
                "GET /health HTTP/1.1\r\nHost: x\r\nA: b\x01?\r\n\r\n",
                "GET /health HTTP/1.1\r\nHost: x\r\n: empty\r\n\r\n",
                "CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
                "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
                "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na",
                "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0x1\r\n\r\na",
                "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1 1\r\n\r\na",
                "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\na",
                "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
                "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
                "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n11111111111111111\r\n",
                "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n0\r\n\r\n",
        };

        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
                refused(bad[i], 400);
}

static void two_readings_of_where_a_request_ends_are_refused(void **state)
{
        refused("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                400);
        refused("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
                400);
        refused("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400);
        refused("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400);
        refused("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\nhello", 400);
        refused("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400);
        refused("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: "
                "chunked\r\n\r\n0\r\n\r\n",
                501);
        refused("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
                "chunked\r\n\r\n0\r\n\r\n",
                400);
        refused("POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400);
        refused("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501);
        refused("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\nab\n0\n\n", 400);
        refused("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;\n2\r\nx\r\n0\r\n\r\n", 400);
        refused("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\x0b"
                "chunked\r\n\r\n0\r\n\r\n",
                400);
        refused("GET /health HTTP/1.1\r\nHost: x\r\nA: b\rB: c\r\n\r\n", 400);
}

static void a_folded_header_line_is_not_a_header_of_its_own(void **state)
{
        int fd = client_open(&w);

        // RFC 9112, 5.2: refuse, or read the fold as a space.
        client_send(fd, "GET /show HTTP/1.1\r\nHost: x\r\nX-Test: a\r\n Content-Length: 3\r\n\r\n");
        struct answer a = client_answer(fd, false);
        if (a.status != 400)
                assert_string_equal(a.body, "GET /show q=none x=a Content-Length: 3");
        answer_free(&a);
        close(fd);
}

static void other_versions_are_505(void **state)
{
        refused("GET /health HTTP/2.0\r\nHost: x\r\n\r\n", 505);
        refused("GET /health HTTP/3.7\r\nHost: x\r\n\r\n", 505);
        refused("GET /health\r\n\r\n", 505);
        refused("GET /health HTTP/0.9\r\nHost: x\r\n\r\n", 505);
        refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
}

static void an_offer_to_upgrade_is_passed_over(void **state)
{
        answered("GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", "ok");
        answered("POST /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nhi",
                "hi");
}

static void long_targets_are_414_and_long_or_many_headers_431(void **state)
{
        struct buf b = {0};

        buf_puts(&b, "GET /");
        for (int i = 0; i < 5000; i++)
                buf_putc(&b, 'a');
        buf_puts(&b, " HTTP/1.1\r\nHost: x\r\n\r\n");
        refused(b.data, 414);
        buf_clear(&b);
        buf_puts(&b, "GET /health HTTP/1.1\r\nHost: x\r\nX-Long: ");
        for (int i = 0; i < 5000; i++)
                buf_putc(&b, 'a');
        buf_puts(&b, "\r\n\r\n");
        refused(b.data, 431);
        // Spaces before a value are no value, but bytes all the same.
        for (size_t i = strlen("GET /health HTTP/1.1\r\nHost: x\r\nX-Long: "); i < b.len - 4; i++)
                b.data[i] = ' ';
        refused(b.data, 431);
        buf_clear(&b);
        buf_puts(&b, "GET /health HTTP/1.1\r\nHost: x\r\n");
        for (int i = 0; i < 100; i++)
                buf_printf(&b, "a%d: b\r\n", i);
        buf_puts(&b, "\r\n");
        refused(b.data, 431);
        buf_clear(&b);
        for (int i = 0; i < 3000; i++)
                buf_puts(&b, "\r\n");
        refused(b.data, 431);
        buf_free(&b);
}

static void an_endless_head_is_refused_long_before_its_end(void **state)
{
        char block[1024];
        int fd = client_open(&w);
        bool open = true;

        memset(block, 'a', sizeof block);
        client_send(fd, "GET /health HTTP/1.1\r\nHost: x\r\nX-Long: ");
        for (int i = 0; i < 64 && open; i++)
                open = send(fd, block, sizeof block, MSG_NOSIGNAL) > 0;
        struct answer a = client_answer(fd, false);
        assert_int_equal(a.status, 431);
        answer_free(&a);
        close(fd);
}

static void chunks_that_are_all_framing_are_refused(void **state)
{
        struct buf b = {0};

        buf_puts(&b, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;a=");
        for (int i = 0; i < 10000; i++)
                buf_putc(&b, 'x');
        refused(b.data, 400);
        buf_clear(&b);
        buf_puts(&b, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nTrailer: ");
        for (int i = 0; i < 10000; i++)
                buf_putc(&b, 'x');
        refused(b.data, 400);
        // A chunk for each byte is wasteful and allowed.
        buf_clear(&b);
        buf_puts(&b, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (int i = 0; i < 20000; i++)
                buf_puts(&b, "1\r\nx\r\n");
        buf_puts(&b, "0\r\n\r\n");
        int fd = client_open(&w);
        expect_status(fd, b.data, 200);
        close(fd);
        buf_free(&b);
}

static void a_lone_refusal_of_a_whole_request_keeps_the_connection(void **state)
{
        int fd = client_open(&w);

        expect_status(fd, "GET /no HTTP/1.1\r\nHost: x\r\n\r\n", 404);
        expect_status(fd, "POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405);
        expect_status(fd, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n", 200);
        close(fd);
}

static void leading_empty_lines_are_read_over(void **state)
{
        answered("\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n", "ok");
}

static void an_empty_header_and_spaces_around_a_value_are_read_as_meant(void **state)
{
        answered("GET /show HTTP/1.1\r\nHost: x\r\nX-Empty:\r\nx-test: \t a b \t \r\n\r\n", "GET /show q=none x=a b");
        answered("GET /show HTTP/1.1\r\nHost: x\r\nX-Test:\r\n\r\n", "GET /show q=none x=");
}

static void hanging_up_inside_a_request_runs_no_handler(void **state)
{
        static const char *const parts[] = {
                "GET",
                "GET /health HTTP/1.1\r\nHo",
                "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhal",
                "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha",
        };
        int handled = w.n_handled, done = w.n_done;

        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
                int fd = client_open(&w);
                client_send(fd, parts[i]);
                shutdown(fd, SHUT_WR);
                assert_true(client_sees_end(fd));
                close(fd);
        }
        // Those whose head had come are told of, as 499.
        world_wait(&w, &w.n_done, done + 2);
        uv_mutex_lock(&w.mutex);
        assert_int_equal(w.n_handled, handled);
        assert_int_equal(w.n_done, done + 2);
        assert_int_equal(w.done_status[done], 499);
        assert_string_equal(w.done_line[done], "POST /echo");
        uv_mutex_unlock(&w.mutex);
}

static void who_is_not_admitted_is_answered_before_any_of_the_body(void **state)
{
        refused("POST /guarded HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n", 401);
        refused("POST /guarded HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n", 401);
        refused("POST /guarded HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 401);
        refused("PUT /guarded HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\nhalf", 401);
        answered("POST /guarded HTTP/1.1\r\nHost: x\r\nX-Pass: 1\r\nContent-Length: 2\r\n\r\nhi", "hi");
}

static void who_is_not_admitted_may_ask_again_on_the_same_connection(void **state)
{
        int fd = client_open(&w);

        client_send(fd, "GET /guarded HTTP/1.1\r\nHost: x\r\n\r\n");
        struct answer a = client_answer(fd, false);
        assert_int_equal(a.status, 401);
        assert_string_equal(answer_header(&a, "x-wanted"), "x-pass");
        assert_non_null(strstr(a.body, "no pass"));
        answer_free(&a);
        expect_status(fd, "GET /guarded HTTP/1.1\r\nHost: x\r\nX-Pass: 1\r\n\r\n", 200);
        expect_status(fd, "HEAD /guarded HTTP/1.0\r\n\r\n", 401);
        close(fd);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(bytes_one_by_one_make_the_same_request),
                cmocka_unit_test(bodies_by_length_and_by_chunks_arrive_whole),
                cmocka_unit_test(a_body_at_the_limit_passes_and_one_byte_more_is_413),
                cmocka_unit_test(a_client_that_sends_its_whole_huge_body_first_still_reads_413),
                cmocka_unit_test(an_upload_may_be_longer_than_a_body_and_arrives_whole),
                cmocka_unit_test(who_is_not_admitted_is_answered_before_any_of_the_body),
                cmocka_unit_test(who_is_not_admitted_may_ask_again_on_the_same_connection),
                cmocka_unit_test(expect_100_is_answered_before_the_body_and_only_if_it_will_be_read),
                cmocka_unit_test(a_body_without_a_length_is_411),
                cmocka_unit_test(malformed_requests_are_400),
                cmocka_unit_test(two_readings_of_where_a_request_ends_are_refused),
                cmocka_unit_test(a_folded_header_line_is_not_a_header_of_its_own),
                cmocka_unit_test(other_versions_are_505),
                cmocka_unit_test(an_offer_to_upgrade_is_passed_over),
                cmocka_unit_test(long_targets_are_414_and_long_or_many_headers_431),
                cmocka_unit_test(an_endless_head_is_refused_long_before_its_end),
                cmocka_unit_test(chunks_that_are_all_framing_are_refused),
                cmocka_unit_test(a_lone_refusal_of_a_whole_request_keeps_the_connection),
                cmocka_unit_test(leading_empty_lines_are_read_over),
                cmocka_unit_test(an_empty_header_and_spaces_around_a_value_are_read_as_meant),
                cmocka_unit_test(hanging_up_inside_a_request_runs_no_handler),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
