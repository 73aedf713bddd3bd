#include "status.h"

#include <stdarg.h>
#include <stdio.h>

fiz_status fiz_refuse(fiz_error *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return FIZ_REFUSED;
}
