/* How every function of the codec says what went wrong. */
#ifndef FIZ_STATUS_H
#define FIZ_STATUS_H

#if defined(__GNUC__) || defined(__clang__)
#define FIZ_PRINTF(text_at, values_at) __attribute__((format(printf, text_at, values_at)))
#else
#define FIZ_PRINTF(text_at, values_at)
#endif

typedef enum {
    FIZ_OK = 0,
    FIZ_NO_MEMORY, /* the system refused memory; no text is set */
    FIZ_REFUSED    /* the caller's data or wish; the text says why in one sentence */
} fiz_status;

typedef struct {
    char text[320]; /* UTF-8 (ASCII in fact), terminated, without a final full stop */
} fiz_error;

/* Formats the text and returns FIZ_REFUSED. */
fiz_status fiz_refuse(fiz_error *error, const char *format, ...) FIZ_PRINTF(2, 3);

#endif
