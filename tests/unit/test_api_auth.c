// Who may: which tokens a file has, which of them open which routes, what a file that went bad changes (nothing), and
// that a comparison tells no more than its result.
#include "harness.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/auth.h"
#include "api/tokens.h"
#include "base/log.h"
#include "scratch.h"

static int n_compared;

int __real_CRYPTO_memcmp(const void *a, const void *b, size_t len);
int __wrap_CRYPTO_memcmp(const void *a, const void *b, size_t len);

int __wrap_CRYPTO_memcmp(const void *a, const void *b, size_t len)
{
        assert_int_equal(len, 32);
        n_compared++;
        return __real_CRYPTO_memcmp(a, b, len);
}

static void write_text(const char *name, const char *text)
{
        scratch_write(name, text, strlen(text));
}

// With the files "keys" and "admins", or without.
static struct auth *make(bool keys, bool admins)
{
        static char key_path[300], admin_path[300];
        struct dyn_error err;
        struct auth *a;

        snprintf(key_path, sizeof key_path, "%s", scratch_path("keys"));
        snprintf(admin_path, sizeof admin_path, "%s", scratch_path("admins"));
        if (auth_create(&a, keys ? key_path : NULL, admins ? admin_path : NULL, &err) != DYN_OK)
                fail_msg("%s", err.text);
        return a;
}

static int check(const struct auth *a, enum auth_access access, const char *authorization)
{
        const char *why = NULL;
        int status = auth_check(a, access, authorization, true, &why);

        assert_true(status == 0 || (why != NULL && *why != 0));
        return status;
}

static void a_token_is_a_line_without_its_blanks(void **state)
{
        write_text("keys", "# a comment\r\n\n  \t\r\nfirst\r\n\tsecond  \n#third\nlast");
        struct auth *a = make(true, false);

        assert_int_equal(check(a, AUTH_INFERENCE, "Bearer first"), 0);
        assert_int_equal(check(a, AUTH_INFERENCE, "Bearer second"), 0);
        assert_int_equal(check(a, AUTH_INFERENCE, "Bearer last"), 0);
        assert_int_equal(check(a, AUTH_INFERENCE, "Bearer third"), 401);
        assert_int_equal(check(a, AUTH_INFERENCE, "Bearer #third"), 401);
        assert_int_equal(check(a, AUTH_INFERENCE, "Bearer # a comment"), 401);
        assert_int_equal(check(a, AUTH_INFERENCE, "Bearer first\r"), 401);
        auth_destroy(a);
}

static void refused(const char *path, const char *words)
{
        struct dyn_error err;
        struct auth *a;

        assert_int_not_equal(auth_create(&a, NULL, path, &err), DYN_OK);
        assert_null(a);
        if (strncmp(err.text, "--admin-token-file: ", 20) != 0 || strstr(err.text, words) == NULL ||
                strstr(err.text, "secret") != NULL)
                fail_msg("expected \"%s\", found \"%s\"", words, err.text);
}

static void a_file_that_gives_no_tokens_is_an_error_that_quotes_none(void **state)
{
        static char long_file[1024 * 1024 + 1];

        refused("/nothing/here", "/nothing/here: No such file");
        refused(scratch_dir(), "expected a plain file");
        refused("/dev/null", "expected a plain file");
        write_text("bad", "");
        refused(scratch_path("bad"), "found none");
        write_text("bad", "# only this\n \r\n");
        refused(scratch_path("bad"), "found none");
        write_text("bad", "good\nsecret word\n");
        refused(scratch_path("bad"), "bad:2: expected a token of visible ASCII");
        scratch_write("bad", "secret\0\n", 8);
        refused(scratch_path("bad"), "bad:1: expected a token of visible ASCII");
        write_text("bad", "\n\nsecret\xc3\xa9\n");
        refused(scratch_path("bad"), "bad:3: expected a token of visible ASCII");
        memset(long_file, 'x', sizeof long_file);
        scratch_write("bad", long_file, sizeof long_file);
        refused(scratch_path("bad"), "expected at most 1048576 bytes");
}

static void what_nobody_asked_for_is_not_needed(void **state)
{
        struct auth *a = make(false, false);

        assert_int_equal(check(a, AUTH_OPEN, NULL), 0);
        assert_int_equal(check(a, AUTH_INFERENCE, NULL), 0);
        assert_int_equal(check(a, AUTH_INFERENCE, "Bearer stray"), 0);
        assert_int_equal(check(a, AUTH_ADMIN, NULL), 0);
        auth_destroy(a);
}

static void without_admin_tokens_administration_is_for_this_machine(void **state)
{
        const char *why = NULL;

        write_text("keys", "key\n");
        struct auth *a = make(true, false);
        assert_int_equal(auth_check(a, AUTH_ADMIN, NULL, true, &why), 0);
        assert_int_equal(auth_check(a, AUTH_ADMIN, "Bearer key", false, &why), 403);
        assert_non_null(strstr(why, "--admin-token-file"));
        auth_destroy(a);
}

static void with_admin_tokens_administration_is_for_those_who_have_one_wherever_they_are(void **state)
{
        const char *why = NULL;

        write_text("keys", "key\n");
        write_text("admins", "admin\n");
        struct auth *a = make(true, true);
        assert_int_equal(auth_check(a, AUTH_ADMIN, NULL, true, &why), 401);
        assert_int_equal(auth_check(a, AUTH_ADMIN, "Bearer key", true, &why), 401);
        assert_int_equal(auth_check(a, AUTH_ADMIN, "Bearer admin", false, &why), 0);
        assert_int_equal(auth_check(a, AUTH_INFERENCE, "Bearer admin", false, &why), 0);
        assert_int_equal(auth_check(a, AUTH_INFERENCE, "Bearer key", false, &why), 0);
        assert_int_equal(auth_check(a, AUTH_OPEN, NULL, false, &why), 0);
        auth_destroy(a);
}

static void only_a_whole_token_after_the_word_bearer_is_taken(void **state)
{
        static const char *const wrong[] = {"", "token", "Bearer", "Bearer ", "Bearer  ", "Basic token", "Bearertoken",
                "Bearer toke", "Bearer tokens", "Bearer Token", "Bearer token x", "Bearer \"token\"",
                "Bearer token,token"};

        write_text("keys", "token\n");
        struct auth *a = make(true, false);
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
                if (check(a, AUTH_INFERENCE, wrong[i]) != 401)
                        fail_msg("accepted: \"%s\"", wrong[i]);
        assert_int_equal(check(a, AUTH_INFERENCE, NULL), 401);
        assert_int_equal(check(a, AUTH_INFERENCE, "Bearer token"), 0);
        assert_int_equal(check(a, AUTH_INFERENCE, "bearer token"), 0);
        assert_int_equal(check(a, AUTH_INFERENCE, "BEARER   token"), 0);
        auth_destroy(a);
}

static void every_token_is_compared_whichever_matches(void **state)
{
        static const char *const sent[] = {"Bearer a", "Bearer c", "Bearer e", "Bearer other"};

        write_text("keys", "a\nb\nc\n");
        write_text("admins", "d\ne\n");
        struct auth *a = make(true, true);
        for (int access = AUTH_INFERENCE; access <= AUTH_ADMIN; access++)
                for (size_t i = 0; i < sizeof sent / sizeof *sent; i++) {
                        n_compared = 0;
                        check(a, (enum auth_access)access, sent[i]);
                        assert_int_equal(n_compared, 5);
                }
        auth_destroy(a);
}

static void reading_again_adds_and_revokes(void **state)
{
        write_text("keys", "old\nboth\n");
        write_text("admins", "admin\n");
        struct auth *a = make(true, true);
        write_text("keys", "both\nnew\n");
        auth_reload(a);
        assert_int_equal(check(a, AUTH_INFERENCE, "Bearer old"), 401);
        assert_int_equal(check(a, AUTH_INFERENCE, "Bearer both"), 0);
        assert_int_equal(check(a, AUTH_INFERENCE, "Bearer new"), 0);
        assert_int_equal(check(a, AUTH_ADMIN, "Bearer admin"), 0);
        auth_destroy(a);
}

static void a_file_that_went_bad_leaves_its_tokens_and_the_other_files_new_ones(void **state)
{
        static const char *const bad[] = {"", "fresh\nnot a token\n"};

        for (int i = 0; i < 3; i++) {
                write_text("keys", "key\n");
                write_text("admins", "admin\n");
                struct auth *a = make(true, true);
                if (i < 2)
                        write_text("keys", bad[i]);
                else
                        assert_int_equal(unlink(scratch_path("keys")), 0);
                write_text("admins", "later\n");
                auth_reload(a);
                assert_int_equal(check(a, AUTH_INFERENCE, "Bearer key"), 0);
                assert_int_equal(check(a, AUTH_INFERENCE, "Bearer fresh"), 401);
                assert_int_equal(check(a, AUTH_ADMIN, "Bearer later"), 0);
                assert_int_equal(check(a, AUTH_ADMIN, "Bearer admin"), 401);
                auth_destroy(a);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_token_is_a_line_without_its_blanks),
                cmocka_unit_test(a_file_that_gives_no_tokens_is_an_error_that_quotes_none),
                cmocka_unit_test(what_nobody_asked_for_is_not_needed),
                cmocka_unit_test(without_admin_tokens_administration_is_for_this_machine),
                cmocka_unit_test(with_admin_tokens_administration_is_for_those_who_have_one_wherever_they_are),
                cmocka_unit_test(only_a_whole_token_after_the_word_bearer_is_taken),
                cmocka_unit_test(every_token_is_compared_whichever_matches),
                cmocka_unit_test(reading_again_adds_and_revokes),
                cmocka_unit_test(a_file_that_went_bad_leaves_its_tokens_and_the_other_files_new_ones),
        };

        log_configure(LOG_ERROR, false);
        return cmocka_run_group_tests(tests, NULL, scratch_remove);
}
