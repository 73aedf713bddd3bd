/* libjpeg's error manager, turned into a status.
 *
 * libjpeg does not return errors: it calls error_exit, which must not return.
 * Ours longjmps to the setjmp of the one function (encode or decode) that is
 * running libjpeg, and only libjpeg's own frames lie between the two. Whatever
 * must outlive the jump stands in the encoder or decoder object, not in locals.
 */
#ifndef FIZ_JPEG_ERROR_H
#define FIZ_JPEG_ERROR_H

#include <setjmp.h>
#include <stddef.h>
#include <stdio.h> /* jpeglib.h needs it and does not include it */

#include <jpeglib.h>

#include "status.h"

#if !defined(LIBJPEG_TURBO_VERSION_NUMBER) || LIBJPEG_TURBO_VERSION_NUMBER < 2001000
#error "libjpeg-turbo 2.1 or newer is needed"
#endif

/* setjmp saves the signal mask on BSDs, a system call for each picture. */
#if defined(__APPLE__) || defined(__FreeBSD__)
#define FIZ_SETJMP(jump) _setjmp(jump)
#define FIZ_LONGJMP(jump) _longjmp(jump, 1)
#else
#define FIZ_SETJMP(jump) setjmp(jump)
#define FIZ_LONGJMP(jump) longjmp(jump, 1)
#endif

/* Why it stopped. */
typedef enum {
    FIZ_STOP_LIBJPEG,   /* libjpeg's own reason: base.msg_code */
    FIZ_STOP_TRUNCATED, /* the data ended before the picture did */
    FIZ_STOP_SCANS,     /* more scans than a sane file has */
    FIZ_STOP_MEMORY     /* no memory */
} fiz_stop_reason;

typedef struct {
    struct jpeg_error_mgr base; /* first: libjpeg knows us by it */
    jmp_buf jump;
    fiz_stop_reason reason;
} fiz_jpeg_error;

/* Makes it the error manager of an object that is about to be created. Warnings
 * that mean missing or corrupt picture data stop at once; harmless ones
 * (extraneous bytes, odd version numbers) do not. */
struct jpeg_error_mgr *fiz_jpeg_error_init(fiz_jpeg_error *error);

/* Stops the libjpeg call that is running; does not return. */
void fiz_jpeg_stop(j_common_ptr cinfo, fiz_stop_reason reason);

/* After the jump: the status, and the text where it is FIZ_REFUSED. `verb`
 * ("encode", "decode") says what was tried, `at` is how far into the data. */
fiz_status fiz_jpeg_caught(j_common_ptr cinfo, const char *verb, size_t at, fiz_error *error);

#endif
