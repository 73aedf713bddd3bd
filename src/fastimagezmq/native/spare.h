/* Encoders and decoders that nobody uses at the moment.
 *
 * A libjpeg object serves one picture at a time. Whoever needs one takes a spare
 * one or makes another; so there are as many as threads ever worked at once, and
 * each is made once. May be called from any thread, without the GIL.
 */
#ifndef FIZ_SPARE_H
#define FIZ_SPARE_H

#include <stddef.h>

#include "mutex.h"

#define FIZ_SPARES_MAX 256

typedef struct {
    fiz_mutex mutex;
    size_t count;
    void *items[FIZ_SPARES_MAX];
} fiz_spares;

#define FIZ_SPARES_INIT { FIZ_MUTEX_INIT, 0, { NULL } }

/* A spare object, now the caller's, or NULL when there is none. */
static inline void *fiz_spare_take(fiz_spares *spares)
{
    void *item = NULL;

    fiz_mutex_lock(&spares->mutex);
    if (spares->count > 0)
        item = spares->items[--spares->count];
    fiz_mutex_unlock(&spares->mutex);
    return item;
}

/* Keeps `item` for the next one. Returns 0 when there are enough already: then
 * `item` is still the caller's, to be destroyed. */
static inline int fiz_spare_keep(fiz_spares *spares, void *item)
{
    int kept = 0;

    fiz_mutex_lock(&spares->mutex);
    if (spares->count < FIZ_SPARES_MAX) {
        spares->items[spares->count++] = item;
        kept = 1;
    }
    fiz_mutex_unlock(&spares->mutex);
    return kept;
}

#endif
