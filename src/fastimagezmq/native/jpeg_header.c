#include "jpeg_header.h"

#include <string.h>

/* Markers: ITU-T T.81, table B.1. */
enum {
    TEM = 0x01,
    SOF0 = 0xC0,
    SOF15 = 0xCF,
    DHT = 0xC4,
    JPG = 0xC8,
    DAC = 0xCC,
    RST0 = 0xD0,
    RST7 = 0xD7,
    SOI = 0xD8,
    EOI = 0xD9,
    SOS = 0xDA,
    DQT = 0xDB,
    DRI = 0xDD
};

typedef struct {
    const uint8_t *data;
    size_t size;
    size_t at; /* never above size */
    uint8_t quant_defined;   /* bit n: table n */
    uint8_t dc_defined;
    uint8_t ac_defined;
    fiz_jpeg_header *header;
    fiz_error *error;
} reader;

static fiz_status truncated(const reader *r)
{
    return fiz_refuse(r->error,
                      "JPEG data is truncated: its %zu bytes end within the header; "
                      "pass the whole file",
                      r->size);
}

static fiz_status malformed(const reader *r, size_t at, const char *what)
{
    return fiz_refuse(r->error, "JPEG data is corrupt at byte %zu: %s", at, what);
}

static unsigned word(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

/* Whether the bytes are SOI and the beginning of a segment of a header. */
static int starts_image(const uint8_t *p)
{
    return p[0] == 0xFF && p[1] == SOI && p[2] == 0xFF && p[3] >= SOF0
           && !(p[3] >= RST0 && p[3] <= EOI);
}

static fiz_status find_start(reader *r)
{
    static const uint8_t start[] = { 0xFF, SOI, 0xFF };
    size_t last;

    if (r->size == 0)
        return fiz_refuse(r->error, "there is no JPEG data: the buffer is empty");
    last = r->size < FIZ_JPEG_JUNK_MAX ? r->size : FIZ_JPEG_JUNK_MAX;
    for (size_t at = 0; at < last && r->size - at >= 4; at++) {
        const uint8_t *found = memchr(r->data + at, 0xFF, last - at);
        if (found == NULL)
            break;
        at = (size_t)(found - r->data);
        if (r->size - at >= 4 && starts_image(found)) {
            r->header->soi = at;
            r->at = at + 2;
            return FIZ_OK;
        }
    }
    if (r->size <= sizeof start && memcmp(r->data, start, r->size) == 0)
        return truncated(r);
    return fiz_refuse(r->error,
                      "data is not a JPEG: no start-of-image marker (FF D8 FF) in its first "
                      "%zu bytes, which begin with %02X %02X",
                      last, r->data[0], r->size > 1 ? r->data[1] : 0);
}

/* Moves past the next marker. Bytes that are none are passed over, as libjpeg
 * does. Returns its second byte, or -1 at the end of the data. */
static int next_marker(reader *r, size_t *offset)
{
    for (;;) {
        const uint8_t *found = r->size > r->at ? memchr(r->data + r->at, 0xFF, r->size - r->at)
                                               : NULL;
        if (found == NULL)
            return -1;
        r->at = (size_t)(found - r->data);
        while (r->at < r->size && r->data[r->at] == 0xFF)
            r->at++;
        if (r->at == r->size)
            return -1;
        if (r->data[r->at++] != 0) {
            *offset = r->at - 2;
            return r->data[r->at - 1];
        }
    }
}

static fiz_status read_frame(reader *r, size_t offset, int marker, const uint8_t *p, size_t length)
{
    fiz_jpeg_header *h = r->header;
    unsigned kind = (unsigned)marker - SOF0;

    if (h->sof != 0)
        return malformed(r, offset, "it has a second frame header");
    if (length < 6 || length != 6 + (size_t)3 * p[5])
        return malformed(r, offset, "the frame header has a wrong length");
    h->sof = offset;
    h->frame_marker = (uint8_t)marker;
    h->lossless = (kind & 3) == 3;
    h->progressive = (kind & 3) == 2;
    h->hierarchical = (kind & 4) != 0;
    h->arithmetic = (kind & 8) != 0;
    h->precision = p[0];
    h->height = word(p + 1);
    h->width = word(p + 3);
    if (h->width == 0 || h->height == 0)
        return fiz_refuse(r->error, "JPEG has no pixels: its header says %ux%u",
                          (unsigned)h->width, (unsigned)h->height);
    if (p[5] == 0 || p[5] > FIZ_JPEG_COMPONENTS_MAX)
        return fiz_refuse(r->error,
                          "JPEG has %u colour components; 1 (gray) and 3 (colour) are supported",
                          p[5]);
    h->component_count = p[5];
    for (unsigned i = 0; i < h->component_count; i++) {
        const uint8_t *c = p + 6 + (size_t)3 * i;
        fiz_jpeg_component *component = &h->components[i];
        component->id = c[0];
        component->h = c[1] >> 4;
        component->v = c[1] & 15;
        component->quant = c[2];
        if (component->h < 1 || component->h > 4 || component->v < 1 || component->v > 4)
            return malformed(r, offset, "a sampling factor is not 1 to 4");
    }
    return FIZ_OK;
}

/* Notes which tables a DQT or DHT segment defines. What is wrong inside of one
 * is libjpeg's to tell. */
static void note_quant_tables(reader *r, const uint8_t *p, size_t length)
{
    while (length > 0) {
        size_t table = 1 + (size_t)(p[0] >> 4 ? 128 : 64);
        if (table > length)
            return;
        if ((p[0] & 15) < 4)
            r->quant_defined |= (uint8_t)(1u << (p[0] & 15));
        p += table;
        length -= table;
    }
}

static void note_huffman_tables(reader *r, const uint8_t *p, size_t length)
{
    while (length >= 17) {
        size_t table = 17;
        for (int i = 1; i <= 16; i++)
            table += p[i];
        if (table > length)
            return;
        if ((p[0] & 15) < 4) {
            if (p[0] >> 4)
                r->ac_defined |= (uint8_t)(1u << (p[0] & 15));
            else
                r->dc_defined |= (uint8_t)(1u << (p[0] & 15));
        }
        p += table;
        length -= table;
    }
}

static fiz_status read_scan(reader *r, size_t offset, const uint8_t *p, size_t length)
{
    fiz_jpeg_header *h = r->header;
    int complete;

    if (h->sof == 0)
        return malformed(r, offset, "a scan begins before any frame header");
    if (length < 1 || p[0] < 1 || p[0] > 4 || length != 4 + (size_t)2 * p[0])
        return malformed(r, offset, "the scan header has a wrong length");
    complete = p[0] == h->component_count && !h->progressive && !h->arithmetic;
    for (unsigned i = 0; i < h->component_count; i++)
        complete &= h->components[i].quant < 4 && (r->quant_defined >> h->components[i].quant & 1);
    for (unsigned i = 0; i < p[0]; i++) {
        unsigned dc = p[2 + 2 * i] >> 4, ac = p[2 + 2 * i] & 15;
        complete &= dc < 4 && ac < 4 && (r->dc_defined >> dc & 1) && (r->ac_defined >> ac & 1);
    }
    h->self_contained = (uint8_t)complete;
    h->sos = offset;
    h->entropy = r->at;
    return FIZ_OK;
}

fiz_status fiz_jpeg_header_read(const uint8_t *data, size_t size, fiz_jpeg_header *header,
                                fiz_error *error)
{
    reader r = { data, size, 0, 0, 0, 0, header, error };
    fiz_status status;

    memset(header, 0, sizeof *header);
    status = find_start(&r);
    if (status != FIZ_OK)
        return status;
    for (;;) {
        size_t offset = 0, length;
        const uint8_t *payload;
        int marker = next_marker(&r, &offset);

        if (marker < 0)
            return truncated(&r);
        if (marker == TEM || (marker >= RST0 && marker <= RST7))
            continue;
        if (marker == SOI)
            return malformed(&r, offset, "a second image starts within the header");
        if (marker == EOI)
            return malformed(&r, offset, "the image ends before any scan");
        if (size - r.at < 2)
            return truncated(&r);
        length = word(data + r.at);
        if (length < 2)
            return malformed(&r, offset, "a segment claims a length below 2");
        if (length > size - r.at)
            return truncated(&r);
        payload = data + r.at + 2;
        r.at += length;
        length -= 2;

        if (marker == DQT) {
            note_quant_tables(&r, payload, length);
        } else if (marker == DHT) {
            note_huffman_tables(&r, payload, length);
        } else if (marker == DRI) {
            if (length != 2)
                return malformed(&r, offset, "the restart interval has a wrong length");
            header->restart_interval = word(payload);
            header->dri = header->restart_interval ? offset : 0;
        } else if (marker == SOS) {
            return read_scan(&r, offset, payload, length);
        } else if (marker >= SOF0 && marker <= SOF15 && marker != JPG && marker != DAC) {
            status = read_frame(&r, offset, marker, payload, length);
            if (status != FIZ_OK)
                return status;
        }
    }
}

static uint64_t divide_up(uint64_t a, uint64_t b)
{
    return (a + b - 1) / b;
}

/* 8x8 blocks of all components together, without the padding of MCUs. */
static uint64_t block_count(const fiz_jpeg_header *header)
{
    uint64_t blocks = 0;
    unsigned h_max = 1, v_max = 1;

    for (unsigned i = 0; i < header->component_count; i++) {
        if (header->components[i].h > h_max) h_max = header->components[i].h;
        if (header->components[i].v > v_max) v_max = header->components[i].v;
    }
    for (unsigned i = 0; i < header->component_count; i++) {
        const fiz_jpeg_component *c = &header->components[i];
        blocks += divide_up((uint64_t)header->width * c->h, 8u * h_max)
                  * divide_up((uint64_t)header->height * c->v, 8u * v_max);
    }
    return blocks;
}

fiz_status fiz_jpeg_header_admit(const fiz_jpeg_header *header, size_t size, uint64_t max_pixels,
                                 fiz_error *error)
{
    unsigned width = (unsigned)header->width, height = (unsigned)header->height;
    uint64_t needed;

    if (header->lossless)
        return fiz_refuse(error, "JPEG is lossless, which is not supported: send baseline JPEG");
    if (header->hierarchical)
        return fiz_refuse(error,
                          "JPEG is hierarchical, which is not supported: send baseline JPEG");
    if (header->precision != 8)
        return fiz_refuse(error,
                          "JPEG has %u bits a sample; only 8 are supported: send baseline JPEG",
                          header->precision);
    if (header->component_count == 4)
        return fiz_refuse(error, "JPEG has 4 colour components (CMYK or YCCK); 1 (gray) and 3 "
                                 "(colour) are supported: convert it first");
    if (header->component_count == 2)
        return fiz_refuse(error, "JPEG has 2 colour components; 1 (gray) and 3 (colour) are "
                                 "supported");
    if (width > FIZ_JPEG_SIDE_MAX || height > FIZ_JPEG_SIDE_MAX)
        return fiz_refuse(error, "JPEG of %ux%u pixels is wider or taller than %u", width, height,
                          FIZ_JPEG_SIDE_MAX);
    if ((uint64_t)width * height > max_pixels)
        return fiz_refuse(error,
                          "JPEG of %ux%u pixels is larger than max_pixels (%llu): raise max_pixels "
                          "if you trust the sender",
                          width, height, (unsigned long long)max_pixels);
    /* An arithmetic coder may spend next to nothing on a block: no bound there. */
    if (header->arithmetic)
        return FIZ_OK;
    needed = divide_up(block_count(header) * (header->progressive ? 1 : 2), 8);
    if (size - header->entropy < needed)
        return fiz_refuse(error,
                          "JPEG data is truncated: %ux%u pixels take %llu bytes after the header "
                          "at the very least, here are %zu",
                          width, height, (unsigned long long)needed, size - header->entropy);
    return FIZ_OK;
}

int fiz_jpeg_header_is_420(const fiz_jpeg_header *header)
{
    const fiz_jpeg_component *c = header->components;

    return header->component_count == 3 && c[0].h == 2 && c[0].v == 2 && c[1].h == 1
           && c[1].v == 1 && c[2].h == 1 && c[2].v == 1;
}
