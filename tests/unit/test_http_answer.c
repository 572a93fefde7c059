// What a handler is told of a request and what its answer looks like on the wire: routes, parameters, headers, streams,
// CORS. The wire is read by the tests' own client.
#include "http_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"

static struct world w;
static int fd;

static int setup(void **state)
{
        world_init(&w);
        world_open(&w);
        fd = client_open(&w);
        return 0;
}

static int setup_cors(void **state)
{
        world_init(&w);
        w.options.cors_origin = *state;
        world_open(&w);
        fd = client_open(&w);
        return 0;
}

static int teardown(void **state)
{
        close(fd);
        world_close(&w);
        return 0;
}

static struct answer ask(const char *line, const char *headers)
{
        char request[4096];

        snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n", line, headers);
        client_send(fd, request);
        return client_answer(fd, strncmp(line, "HEAD ", 5) == 0);
}

static void answers(const char *line, int status, const char *body)
{
        struct answer a = ask(line, "");

        if (a.status != status || (body != NULL && strcmp(a.body, body) != 0))
                fail_msg("%s: expected %d %s, found %d %s", line, status, body ? body : "", a.status, a.body);
        bool closes = strcmp(answer_header(&a, "connection"), "close") == 0;
        answer_free(&a);
        if (closes) {
                close(fd);
                fd = client_open(&w);
        }
}

static void routes_match_whole_segments_after_decoding(void **state)
{
        answers("GET /item/abc", 200, "abc");
        answers("GET /item/a%2Fb%20c", 200, "a/b c");
        answers("GET /item/%e4%BD%a0", 200, "\xe4\xbd\xa0");
        answers("GET /%69tem/abc", 200, "abc");
        answers("GET /item/abc/more", 200, "abc");
        answers("GET /item/a+b", 200, "a+b");
        answers("GET /", 200, "ok");
        answers("GET http://x/item/abc", 200, "abc");
        answers("GET /item/", 404, NULL);
        answers("GET /item", 404, NULL);
        answers("GET /item/abc/", 404, NULL);
        answers("GET /item/abc/less", 404, NULL);
        answers("GET //item/abc", 404, NULL);
        answers("GET /Health", 404, NULL);
        answers("GET /healt", 404, NULL);
        answers("GET /healthy", 404, NULL);
        answers("GET /health/", 404, NULL);
}

static void broken_escapes_and_nuls_are_400(void **state)
{
        answers("GET /item/%", 400, NULL);
        answers("GET /item/%4", 400, NULL);
        answers("GET /item/%zz", 400, NULL);
        answers("GET /item/a%00b", 400, NULL);
        answers("GET /show?q=%", 400, NULL);
        answers("GET /show?q=%0", 400, NULL);
        answers("GET /show?q=%00", 400, NULL);
        answers("GET /no?q=%00", 400, NULL);
        answers("OPTIONS *", 400, NULL);
}

static void query_values_are_decoded(void **state)
{
        answers("GET /show", 200, "GET /show q=none x=none");
        answers("GET /show?q=1", 200, "GET /show q=1 x=none");
        answers("GET /show?q", 200, "GET /show q= x=none");
        answers("GET /show?q=", 200, "GET /show q= x=none");
        answers("GET /show?a=b&q=x%26y+z%2B&q=2", 200, "GET /show q=x&y z+ x=none");
        answers("GET /show?&&q=a=b&", 200, "GET /show q=a=b x=none");
        answers("GET /show?%71=1", 200, "GET /show q=1 x=none");
        answers("GET /show?qq=1", 200, "GET /show q=none x=none");
        answers("GET /show?", 200, "GET /show q=none x=none");
}

static void a_path_with_another_method_is_405_and_says_which(void **state)
{
        struct answer a = ask("POST /item/a", "Content-Length: 0\r\n");

        assert_int_equal(a.status, 405);
        assert_string_equal(answer_header(&a, "allow"), "GET, HEAD, DELETE");
        answer_free(&a);
        a = ask("GET /echo", "");
        assert_int_equal(a.status, 405);
        assert_string_equal(answer_header(&a, "allow"), "POST");
        answer_free(&a);
        a = ask("OPTIONS /echo", "Origin: http://a\r\nAccess-Control-Request-Method: POST\r\n");
        assert_int_equal(a.status, 405);
        assert_null(answer_header(&a, "access-control-allow-origin"));
        answer_free(&a);
        answers("OPTIONS /no", 404, NULL);
}

static void an_answer_says_its_length_date_and_server(void **state)
{
        struct answer a = ask("GET /health", "");
        struct tm tm = {0};

        assert_string_equal(answer_header(&a, "content-length"), "2");
        assert_string_equal(answer_header(&a, "content-type"), "text/plain");
        assert_string_equal(answer_header(&a, "connection"), "keep-alive");
        assert_string_equal(answer_header(&a, "server"), "dynlora");
        const char *end = strptime(answer_header(&a, "date"), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        assert_non_null(end);
        assert_true(llabs((long long)(timegm(&tm) - time(NULL))) <= 2);
        answer_free(&a);
}

static void a_head_request_gets_the_head_alone(void **state)
{
        struct answer a = ask("HEAD /health", "");

        assert_int_equal(a.status, 200);
        assert_string_equal(answer_header(&a, "content-length"), "2");
        answer_free(&a);
        a = ask("HEAD /stream", "");
        assert_int_equal(a.status, 200);
        answer_free(&a);
        a = ask("HEAD /no", "");
        assert_int_equal(a.status, 404);
        answer_free(&a);
        a = ask("HEAD /echo", "");
        assert_int_equal(a.status, 405);
        answer_free(&a);
        // Nothing of a body was left on the wire.
        answers("GET /item/abc", 200, "abc");
}

static void no_content_has_neither_length_nor_body(void **state)
{
        struct answer a = ask("GET /nothing", "");

        assert_int_equal(a.status, 204);
        assert_null(answer_header(&a, "content-length"));
        answer_free(&a);
        answers("GET /health", 200, "ok");
}

static void a_header_value_cannot_begin_another_header(void **state)
{
        struct answer a = ask("GET /headers", "");

        assert_int_equal(a.status, 429);
        assert_string_equal(answer_header(&a, "x-one"), "a  X-Evil: b");
        assert_null(answer_header(&a, "x-evil"));
        assert_string_equal(answer_header(&a, "retry-after"), "7");
        answer_free(&a);
}

static void a_stream_is_chunked_events(void **state)
{
        struct answer a = ask("GET /stream", "");

        assert_int_equal(a.status, 200);
        assert_true(a.chunked);
        assert_int_equal(a.n_chunks, 2);
        assert_null(answer_header(&a, "content-length"));
        assert_string_equal(a.body, "data: {\"a\":1}\n\nevent: error\ndata: [DONE]\n\n");
        answer_free(&a);
        answers("GET /health", 200, "ok");
}

static void a_stream_for_http_1_0_ends_with_the_connection(void **state)
{
        struct buf got = {0};
        ssize_t n;

        client_send(fd, "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        while ((n = recv(fd, buf_reserve(&got, 1000), 1000, 0)) > 0)
                got.len += (size_t)n;
        assert_int_equal(n, 0);
        got.data[got.len] = 0;
        assert_null(strstr(got.data, "chunked"));
        assert_non_null(strstr(got.data, "Connection: close\r\n"));
        assert_string_equal(strstr(got.data, "\r\n\r\n"), "\r\n\r\ndata: {\"a\":1}\n\nevent: error\ndata: [DONE]\n\n");
        buf_free(&got);
}

static void local_routes_are_for_this_machine_and_not_for_others_by_way_of_it(void **state)
{
        static const struct {
                const char *headers;
                int status;
        } cases[] = {
                {"", 200},
                {"X-Forwarded-For: 1.2.3.4\r\n", 403},
                {"Forwarded: for=1.2.3.4\r\n", 403},
                {"Origin: http://127.0.0.1\r\n", 200},
                {"Origin: http://evil.example\r\n", 403},
                {"Origin: null\r\n", 403},
        };

        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                struct answer a = ask("GET /local", cases[i].headers);
                if (a.status != cases[i].status)
                        fail_msg("%s: expected %d, found %d", cases[i].headers, cases[i].status, a.status);
                answer_free(&a);
        }
}

static void without_cors_there_are_no_cors_headers(void **state)
{
        struct answer a = ask("GET /health", "Origin: http://a\r\n");

        assert_null(strstr(a.head, "Access-Control"));
        answer_free(&a);
}

static void with_cors_for_all_a_preflight_is_answered(void **state)
{
        struct answer a = ask("OPTIONS /item/a", "Origin: http://a\r\nAccess-Control-Request-Method: DELETE\r\n"
                                                 "Access-Control-Request-Headers: authorization, x-b\r\n");

        assert_int_equal(a.status, 204);
        assert_string_equal(answer_header(&a, "access-control-allow-origin"), "*");
        assert_string_equal(answer_header(&a, "access-control-allow-methods"), "GET, HEAD, DELETE, OPTIONS");
        assert_string_equal(answer_header(&a, "access-control-allow-headers"), "authorization, x-b");
        answer_free(&a);
        a = ask("GET /health", "");
        assert_string_equal(answer_header(&a, "access-control-allow-origin"), "*");
        answer_free(&a);
        // Errors must be readable for the page too.
        a = ask("GET /no", "Origin: http://a\r\n");
        assert_int_equal(a.status, 404);
        assert_string_equal(answer_header(&a, "access-control-allow-origin"), "*");
        answer_free(&a);
        answers("OPTIONS /no", 404, NULL);
        answers("OPTIONS /item/a", 405, NULL);
        a = ask("GET /health", "Cut sh");
        assert_int_equal(a.status, 400);
        assert_string_equal(answer_header(&a, "access-control-allow-origin"), "*");
        answer_free(&a);
}

static void with_cors_for_one_origin_others_are_not_let_in(void **state)
{
        struct answer a = ask("GET /health", "Origin: http://a.example\r\n");

        assert_string_equal(answer_header(&a, "access-control-allow-origin"), "http://a.example");
        assert_string_equal(answer_header(&a, "vary"), "Origin");
        answer_free(&a);
        a = ask("GET /health", "Origin: http://b.example\r\n");
        assert_null(answer_header(&a, "access-control-allow-origin"));
        assert_string_equal(answer_header(&a, "vary"), "Origin");
        answer_free(&a);
}

int main(void)
{
        static char all[] = "*", one[] = "http://a.example";
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(routes_match_whole_segments_after_decoding, setup, teardown),
                cmocka_unit_test_setup_teardown(broken_escapes_and_nuls_are_400, setup, teardown),
                cmocka_unit_test_setup_teardown(query_values_are_decoded, setup, teardown),
                cmocka_unit_test_setup_teardown(a_path_with_another_method_is_405_and_says_which, setup, teardown),
                cmocka_unit_test_setup_teardown(an_answer_says_its_length_date_and_server, setup, teardown),
                cmocka_unit_test_setup_teardown(a_head_request_gets_the_head_alone, setup, teardown),
                cmocka_unit_test_setup_teardown(no_content_has_neither_length_nor_body, setup, teardown),
                cmocka_unit_test_setup_teardown(a_header_value_cannot_begin_another_header, setup, teardown),
                cmocka_unit_test_setup_teardown(a_stream_is_chunked_events, setup, teardown),
                cmocka_unit_test_setup_teardown(a_stream_for_http_1_0_ends_with_the_connection, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        local_routes_are_for_this_machine_and_not_for_others_by_way_of_it, setup, teardown),
                cmocka_unit_test_setup_teardown(without_cors_there_are_no_cors_headers, setup, teardown),
                cmocka_unit_test_prestate_setup_teardown(
                        with_cors_for_all_a_preflight_is_answered, setup_cors, teardown, all),
                cmocka_unit_test_prestate_setup_teardown(
                        with_cors_for_one_origin_others_are_not_let_in, setup_cors, teardown, one),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
