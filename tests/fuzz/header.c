/* libFuzzer: any bytes, taken for a header. Beyond the last line feed stands the name of a member
 * to look for. What is found lies within the bytes, and is found again in a part of them. */
#include <string.h>

#include "check.h"
#include "native/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_within(fiz_text found, const char *start, size_t size)
{
    if (found.size > 0)
        CHECK(found.start >= start && found.size <= size
              && (size_t)(found.start - start) <= size - found.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t name_size = 0, text_size;
    char *text, *name;
    fiz_header header;
    fiz_text found;

    while (name_size < size && data[size - 1 - name_size] != '\n')
        name_size++;
    text_size = name_size < size ? size - name_size - 1 : 0;
    /* blocks of their own, for the sanitizer to see their ends */
    text = malloc(text_size + (text_size == 0));
    name = malloc(name_size + (name_size == 0));
    CHECK(text != NULL && name != NULL);
    memcpy(text, data, text_size);
    memcpy(name, data + size - name_size, name_size);
    if (fiz_header_read(text, text_size, &header) == 0) {
        CHECK(header.message.size > 0 && header.sequence >= -1);
        CHECK(header.checksum
              == (header.sequence < 0 ? 0 : fiz_header_hash(text, text_size)));
        check_within(header.message, text, text_size);
        found = fiz_header_member(header.message, (fiz_text){ name, name_size });
        check_within(found, header.message.start, header.message.size);
        found = fiz_header_member((fiz_text){ text, text_size }, (fiz_text){ "msg", 3 });
        CHECK(text[0] != '{' || found.start == header.message.start);
    }
    free(text);
    free(name);
    return 0;
}
