/* The version of the libjpeg-turbo headers that this was compiled with. */
#ifndef FIZ_VERSION_H
#define FIZ_VERSION_H

#include "jpeg_error.h"

#define FIZ_TEXT_OF(token) #token
#define FIZ_TEXT(token) FIZ_TEXT_OF(token)
#define FIZ_LIBJPEG_TURBO_VERSION FIZ_TEXT(LIBJPEG_TURBO_VERSION)

#endif
