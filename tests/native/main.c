/* Tests of native/ as plain C. With "threads" as argument: only those of threads. */
#include "check.h"

#include <string.h>

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
    if (count < 2 || strcmp(arguments[1], "threads") != 0) {
        run_pool_tests();
        run_header_tests();
        run_jpeg_tests();
    }
    run_thread_tests();
    fiz_pool_trim();
    return 0;
}
