#include "header.h"

/* A place in the text; it never goes beyond the end. */
typedef struct {
    const char *at, *end;
} cursor;

static void skip_space(cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r'))
        c->at++;
}

/* Goes beyond `expected`, if that is what comes next. */
static int skip(cursor *c, char expected)
{
    if (c->at == c->end || *c->at != expected)
        return 0;
    c->at++;
    return 1;
}

/* Goes beyond a string. `inside`, unless NULL, becomes what stands between its quotes. */
static int skip_string(cursor *c, fiz_text *inside)
{
    const char *start;

    if (!skip(c, '"'))
        return 0;
    start = c->at;
    for (; c->at < c->end && *c->at != '"'; c->at++)
        if (*c->at == '\\' && ++c->at == c->end)
            return 0;
    if (inside != NULL)
        *inside = (fiz_text){ start, (size_t)(c->at - start) };
    return skip(c, '"');
}

static int ends_scalar(char byte)
{
    return byte == ',' || byte == '}' || byte == ']' || byte == ' ' || byte == '\t'
           || byte == '\n' || byte == '\r';
}

/* Goes beyond a value. Brackets are only counted: where they do not match, it is not JSON. */
static int skip_value(cursor *c, fiz_text *value)
{
    size_t depth = 0;

    value->start = c->at;
    do {
        if (c->at == c->end)
            return 0;
        if (*c->at == '"') {
            if (!skip_string(c, NULL))
                return 0;
        } else if (*c->at == '{' || *c->at == '[') {
            depth++;
            c->at++;
        } else if (*c->at == '}' || *c->at == ']') {
            if (depth == 0)
                return 0;
            depth--;
            c->at++;
        } else if (depth > 0) {
            c->at++;
        } else {
            while (c->at < c->end && !ends_scalar(*c->at))
                c->at++;
            break;
        }
    } while (depth > 0);
    value->size = (size_t)(c->at - value->start);
    return value->size > 0;
}

/* The next unit of a string's text: a byte, or what \uXXXX says; 256 and above also for
 * other escapes, none of which is a letter. -1 at the end. */
static int next_unit(fiz_text *text)
{
    int unit, digits;

    if (text->size == 0)
        return -1;
    unit = (unsigned char)*text->start++;
    text->size--;
    if (unit != '\\' || text->size == 0)
        return unit;
    unit = 0x10000 + (unsigned char)*text->start++;
    text->size--;
    if (unit != 0x10000 + 'u' || text->size < 4)
        return unit;
    unit = 0;
    for (digits = 0; digits < 4; digits++) {
        char byte = text->start[digits];
        int value = byte >= '0' && byte <= '9'   ? byte - '0'
                    : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10
                    : byte >= 'A' && byte <= 'F' ? byte - 'A' + 10
                                                 : -1;
        if (value < 0)
            return 0x10000 + 'u';
        unit = unit * 16 + value;
    }
    text->start += 4;
    text->size -= 4;
    return unit;
}

static int same(fiz_text a, fiz_text b)
{
    for (;;) {
        int unit = next_unit(&a);

        if (unit != next_unit(&b))
            return 0;
        if (unit < 0)
            return 1;
    }
}

/* The next member of the object that the cursor is in: 1, or 0 at its end, or -1. */
static int next_member(cursor *c, int first, fiz_text *name, fiz_text *value)
{
    skip_space(c);
    if (skip(c, '}'))
        return 0;
    if (!first) {
        if (!skip(c, ','))
            return -1;
        skip_space(c);
    }
    if (!skip_string(c, name))
        return -1;
    skip_space(c);
    if (!skip(c, ':'))
        return -1;
    skip_space(c);
    return skip_value(c, value) ? 1 : -1;
}

static int64_t whole_number(fiz_text text)
{
    int64_t number = 0;

    if (text.size == 0 || text.size > 18)
        return -1;
    for (size_t i = 0; i < text.size; i++) {
        if (text.start[i] < '0' || text.start[i] > '9')
            return -1;
        number = number * 10 + (text.start[i] - '0');
    }
    return number;
}

int fiz_header_read(const char *data, size_t size, fiz_header *header)
{
    static const fiz_text msg = { "msg", 3 }, seq = { "seq", 3 };
    cursor c = { data, data + size };
    fiz_text name, value;
    int found;

    *header = (fiz_header){ { NULL, 0 }, -1, 0 };
    skip_space(&c);
    if (!skip(&c, '{'))
        return -1;
    for (int first = 1; (found = next_member(&c, first, &name, &value)) > 0; first = 0) {
        if (same(name, msg))
            header->message = value;
        else if (same(name, seq))
            header->sequence = whole_number(value);
    }
    skip_space(&c);
    if (found < 0 || c.at != c.end || header->message.size == 0)
        return -1;
    if (header->sequence >= 0)
        header->checksum = fiz_header_hash(data, size);
    return 0;
}

fiz_text fiz_header_member(fiz_text object, fiz_text name)
{
    cursor c = { object.start, object.start + object.size };
    fiz_text last = { NULL, 0 }, found, value;

    if (!skip(&c, '{'))
        return last;
    for (int first = 1; next_member(&c, first, &found, &value) > 0; first = 0)
        if (same(found, name))
            last = value;
    return last;
}

uint64_t fiz_header_hash(const char *data, size_t size)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)data[i]) * 0x100000001b3u;
    return hash;
}
