/* Tests of native/ as plain C. With "threads" as argument: only those of threads; with
 * "fuzz SEED COUNT" or "case SEED NUMBER": the fuzzer, see fuzz.h. */
#include "check.h"

#include <string.h>

#include "fuzz.h"
#include "native/fork.h"
#include "native/jpeg_decode.h"
#include "native/jpeg_encode.h"
#include "native/pool.h"

int main(int count, char **arguments)
{
    /* each guards the lock of its own, once */
    CHECK(fiz_fork_guarded() == 0);
    CHECK(fiz_pool_init() == 0 && fiz_fork_guarded() == 1);
    CHECK(fiz_jpeg_encode_init() == 0 && fiz_fork_guarded() == 2);
    CHECK(fiz_jpeg_decode_init() == 0 && fiz_fork_guarded() == 3);
    CHECK(fiz_pool_init() == 0 && fiz_fork_guarded() == 3);
    if (count == 4 && strcmp(arguments[1], "fuzz") == 0)
        return fuzz_campaign(strtoull(arguments[2], NULL, 10), strtoull(arguments[3], NULL, 10))
               != 0;
    if (count == 4 && strcmp(arguments[1], "case") == 0) {
        fuzz_case(strtoull(arguments[2], NULL, 10), strtoull(arguments[3], NULL, 10));
        return 0;
    }
    if (count < 2 || strcmp(arguments[1], "threads") != 0) {
        run_pool_tests();
        run_header_tests();
        run_jpeg_tests();
    }
    run_thread_tests();
    fiz_pool_trim();
    return 0;
}
