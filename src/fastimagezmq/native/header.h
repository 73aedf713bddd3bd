/* What tells a frame's camera, read from its header's bytes: a scanner of JSON.
 *
 * It finds the text of a value, and reads nothing else: in a header that is JSON it finds
 * what a parser finds (of a name that comes twice the last value), whatever is nested in
 * what. In one that is not, it finds something or nothing, and stays within the bytes;
 * who is given the frame parses the header and judges it.
 */
#ifndef FIZ_HEADER_H
#define FIZ_HEADER_H

#include <stddef.h>
#include <stdint.h>

/* Some bytes of a header. `size` 0: there is no such value. */
typedef struct {
    const char *start;
    size_t size;
} fiz_text;

typedef struct {
    fiz_text message;  /* of "msg" */
    int64_t sequence;  /* of "seq"; -1: it has none */
    uint64_t checksum; /* of all of the header, if it has a sequence; else 0 */
} fiz_header;

/* Reads a header: 0, or -1 when it is no object with a "msg". */
int fiz_header_read(const char *data, size_t size, fiz_header *header);

/* The value of a member of an object. `name` is spelled as in JSON, without its quotes. */
fiz_text fiz_header_member(fiz_text object, fiz_text name);

/* A 64-bit hash, FNV-1a (Fowler, Noll, Vo; draft-eastlake-fnv). */
uint64_t fiz_header_hash(const char *data, size_t size);

#endif
