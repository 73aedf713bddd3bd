#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "libzmq.h"

#include <string.h>

fiz_libzmq fiz_zmq;

#ifdef _WIN32

/* pyzmq's wheels for Windows carry a libzmq that exports nothing. */
fiz_status fiz_libzmq_attach(const char *path, fiz_error *error)
{
    (void)path;
    return fiz_refuse(error, "on Windows pyzmq's libzmq does not show its functions");
}

#else

#include <dlfcn.h>

/* POSIX lets a pointer to an object be a pointer to a function; C does not. */
static int find(void *library, const char *name, void *function, size_t size)
{
    void *found = dlsym(library, name);

    memcpy(function, &found, size);
    return found != NULL;
}

fiz_status fiz_libzmq_attach(const char *path, fiz_error *error)
{
    fiz_libzmq found;
    const struct {
        const char *name;
        void *function;
        size_t size;
    } wanted[] = {
        { "zmq_errno", &found.error, sizeof found.error },
        { "zmq_version", &found.version, sizeof found.version },
        { "zmq_getsockopt", &found.getsockopt, sizeof found.getsockopt },
        { "zmq_setsockopt", &found.setsockopt, sizeof found.setsockopt },
        { "zmq_msg_init", &found.msg_init, sizeof found.msg_init },
        { "zmq_msg_init_size", &found.msg_init_size, sizeof found.msg_init_size },
        { "zmq_msg_init_data", &found.msg_init_data, sizeof found.msg_init_data },
        { "zmq_msg_send", &found.msg_send, sizeof found.msg_send },
        { "zmq_msg_recv", &found.msg_recv, sizeof found.msg_recv },
        { "zmq_msg_move", &found.msg_move, sizeof found.msg_move },
        { "zmq_msg_close", &found.msg_close, sizeof found.msg_close },
        { "zmq_msg_data", &found.msg_data, sizeof found.msg_data },
        { "zmq_msg_size", &found.msg_size, sizeof found.msg_size },
        { "zmq_msg_more", &found.msg_more, sizeof found.msg_more },
        { "zmq_msg_gets", &found.msg_gets, sizeof found.msg_gets },
        { "zmq_poll", &found.poll, sizeof found.poll },
    };
    /* Loaded already, so this can only find it: never a second copy. The handle is
     * kept, as the functions are used until the process ends. */
    void *library = dlopen(path, RTLD_NOW | RTLD_NOLOAD);

    if (library == NULL)
        return fiz_refuse(error, "pyzmq's file %.200s is not a loaded library", path);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (!find(library, wanted[i].name, wanted[i].function, wanted[i].size)) {
            (void)dlclose(library);
            return fiz_refuse(error, "%s is not to be found through %.200s", wanted[i].name, path);
        }
    fiz_zmq = found;
    return FIZ_OK;
}

#endif
