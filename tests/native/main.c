/* Tests of native/ as plain C. With "threads" as argument: only those of threads; with
 * "fuzz SEED COUNT" or "case SEED NUMBER": the fuzzer, see fuzz.h. */
#include "check.h"

#include <string.h>

#include "fuzz.h"
#include "native/fork.h"
#include "native/jpeg_decoder.h"
#include "native/jpeg_encoder.h"
#include "native/messages.h"
#include "native/pool.h"
#include "native/threads.h"

int main(int count, char **arguments)
{
    /* each guards the lock of its own, once */
    CHECK(fiz_fork_guarded() == 0);
    CHECK(fiz_pool_init() == 0 && fiz_fork_guarded() == 1);
    CHECK(fiz_threads_init() == 0 && fiz_fork_guarded() == 2);
    CHECK(fiz_jpeg_encoder_init() == 0 && fiz_fork_guarded() == 3);
    CHECK(fiz_jpeg_decoder_init() == 0 && fiz_fork_guarded() == 4);
    CHECK(fiz_messages_init() == 0 && fiz_fork_guarded() == 5);
    CHECK(fiz_pool_init() == 0 && fiz_fork_guarded() == 5);
    fiz_threads_set_size(4);
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
        run_cpu_tests();
        run_message_tests();
        run_request_tests();
        run_newest_tests();
    }
    run_message_thread_tests();
    run_newest_thread_tests();
    run_parallel_tests();
    run_strip_tests();
    run_thread_tests();
    run_stop_tests();
    fiz_pool_trim();
    return 0;
}
