/* libzmq's functions, found in a library that the process has loaded already.
 *
 * pyzmq is bound to one libzmq, its own or the system's. Calling a second one with
 * the first one's sockets would be fatal, so nothing is linked: the functions are
 * looked up through the very file that made the sockets, which also finds those of
 * the libraries that the file depends on.
 *
 * The declarations are those of libzmq's API, version 4 (zmq.h), which promises the
 * size of a message and these numbers.
 */
#ifndef FIZ_LIBZMQ_H
#define FIZ_LIBZMQ_H

#include <stddef.h>

#include "status.h"

/* A message part: owned by libzmq between init and close, moved only by msg_move. */
typedef union {
    unsigned char bytes[64];
    void *align;
} fiz_zmq_msg;

enum {
    FIZ_ZMQ_DONTWAIT = 1,
    FIZ_ZMQ_SNDMORE = 2,
    FIZ_ZMQ_RCVMORE = 13,
    FIZ_ZMQ_TYPE = 16,
    FIZ_ZMQ_RCVTIMEO = 27,
    FIZ_ZMQ_SNDTIMEO = 28
};

enum { FIZ_ZMQ_POLLIN = 1 };

enum { FIZ_EFSM = 156384712 + 51 };

/* What fiz_zmq.poll waits for: a socket, or without one a file descriptor. */
typedef struct {
    void *socket;
#ifdef _WIN32
    size_t fd;
#else
    int fd;
#endif
    short events;
    short revents;
} fiz_zmq_pollitem;

typedef void (*fiz_zmq_free)(void *data, void *hint);

typedef struct {
    int (*error)(void);
    void (*version)(int *major, int *minor, int *patch);
    int (*getsockopt)(void *socket, int option, void *value, size_t *size);
    int (*setsockopt)(void *socket, int option, const void *value, size_t size);
    int (*msg_init)(fiz_zmq_msg *msg);
    int (*msg_init_size)(fiz_zmq_msg *msg, size_t size);
    int (*msg_init_data)(fiz_zmq_msg *msg, void *data, size_t size, fiz_zmq_free free,
                         void *hint);
    int (*msg_send)(fiz_zmq_msg *msg, void *socket, int flags);
    int (*msg_recv)(fiz_zmq_msg *msg, void *socket, int flags);
    int (*msg_move)(fiz_zmq_msg *to, fiz_zmq_msg *from);
    int (*msg_close)(fiz_zmq_msg *msg);
    void *(*msg_data)(fiz_zmq_msg *msg);
    size_t (*msg_size)(const fiz_zmq_msg *msg);
    int (*msg_more)(const fiz_zmq_msg *msg);
    const char *(*msg_gets)(const fiz_zmq_msg *msg, const char *property);
    int (*poll)(fiz_zmq_pollitem *items, int count, long timeout_ms);
} fiz_libzmq;

/* Filled by fiz_libzmq_attach, once, before any other function here or in
 * messages.h is called. */
extern fiz_libzmq fiz_zmq;

/* Finds the functions through the loaded library file at `path`. On FIZ_REFUSED the
 * table is as it was, and `error` says what is missing. */
fiz_status fiz_libzmq_attach(const char *path, fiz_error *error);

#endif
