#include "jpeg_error.h"

#include <jerror.h>

static fiz_jpeg_error *ours(j_common_ptr cinfo)
{
    return (fiz_jpeg_error *)cinfo->err;
}

void fiz_jpeg_stop(j_common_ptr cinfo, fiz_stop_reason reason)
{
    ours(cinfo)->reason = reason;
    FIZ_LONGJMP(ours(cinfo)->jump);
}

static void error_exit(j_common_ptr cinfo)
{
    fiz_jpeg_stop(cinfo, cinfo->err->msg_code == JERR_OUT_OF_MEMORY ? FIZ_STOP_MEMORY
                                                                    : FIZ_STOP_LIBJPEG);
}

/* A level below 0 is a warning, above it is a trace. */
static void emit_message(j_common_ptr cinfo, int level)
{
    if (level >= 0)
        return;
    switch (cinfo->err->msg_code) {
    case JWRN_EXTRANEOUS_DATA: /* bytes that nobody needs */
    case JWRN_ADOBE_XFORM:     /* an unknown transform code: YCbCr is assumed */
    case JWRN_JFIF_MAJOR:      /* a version after 1: nothing follows from it */
    case JWRN_NOT_SEQUENTIAL:  /* wrong Ss, Se in a baseline scan: of no meaning there */
    case JWRN_BOGUS_ICC:       /* colour profiles are not looked at */
        cinfo->err->num_warnings++;
        return;
    default:
        error_exit(cinfo);
    }
}

static void output_message(j_common_ptr cinfo)
{
    (void)cinfo; /* nothing is printed */
}

struct jpeg_error_mgr *fiz_jpeg_error_init(fiz_jpeg_error *error)
{
    (void)jpeg_std_error(&error->base);
    error->base.error_exit = error_exit;
    error->base.emit_message = emit_message;
    error->base.output_message = output_message;
    error->reason = FIZ_STOP_LIBJPEG;
    return &error->base;
}

fiz_status fiz_jpeg_caught(j_common_ptr cinfo, const char *verb, size_t at, fiz_error *error)
{
    char text[JMSG_LENGTH_MAX];

    switch (ours(cinfo)->reason) {
    case FIZ_STOP_MEMORY:
        return FIZ_NO_MEMORY;
    case FIZ_STOP_TRUNCATED:
        return fiz_refuse(error, "JPEG data is truncated: it ends at byte %zu, before the picture "
                                 "is complete; pass the whole file", at);
    case FIZ_STOP_SCANS:
        return fiz_refuse(error, "JPEG has too many scans, as no camera or program writes them");
    case FIZ_STOP_LIBJPEG:
        break;
    }
    switch (cinfo->err->msg_code) {
    case JERR_ARITH_NOTIMPL:
        return fiz_refuse(error, "JPEG is arithmetic-coded, which this build's libjpeg-turbo "
                                 "cannot %s: send Huffman-coded JPEG", verb);
    case JWRN_HIT_MARKER:
    case JWRN_MUST_RESYNC:
    case JWRN_JPEG_EOF:
        (*cinfo->err->format_message)(cinfo, text);
        return fiz_refuse(error, "JPEG data is corrupt near byte %zu: part of the picture is "
                                 "missing (%s)", at, text);
    default:
        (*cinfo->err->format_message)(cinfo, text);
        return fiz_refuse(error, "JPEG data is corrupt near byte %zu: libjpeg-turbo cannot %s it "
                                 "(%s)", at, verb, text);
    }
}
