// What every unit test includes: cmocka with the headers that it wants before it.
#ifndef DYNLORA_TESTS_HARNESS_H
#define DYNLORA_TESTS_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
