/* A mutation fuzzer for the decoder, see fuzz_decode.c. */
#ifndef FIZ_FUZZ_H
#define FIZ_FUZZ_H

#include <stdint.h>

/* Runs cases 0..count-1 of a seed in child processes and returns how many failed. The file of
 * each that did is kept in the working directory as fuzz-SEED-NUMBER.jpg. */
int fuzz_campaign(uint64_t seed, uint64_t count);

/* Runs one case again, in this process, for a debugger. */
void fuzz_case(uint64_t seed, uint64_t number);

#endif
