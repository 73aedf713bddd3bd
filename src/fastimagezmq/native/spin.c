#include "spin.h"

#ifdef _WIN32

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>

uint64_t fiz_spin_clock(void)
{
    LARGE_INTEGER now, a_second;

    (void)QueryPerformanceCounter(&now);
    (void)QueryPerformanceFrequency(&a_second);
    return (uint64_t)((double)now.QuadPart * 1e9 / (double)a_second.QuadPart);
}

#else

#include <time.h>

uint64_t fiz_spin_clock(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#endif
