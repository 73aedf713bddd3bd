/* Damaged JPEGs; what must hold of them is in any_jpeg.h.
 *
 * A case is a function of two numbers, a campaign's seed and its own, so that each can be made
 * again. Cases run in a child process: when one ends it, or takes too long, the parent tells the
 * number, keeps the file, and goes on after it. */
#include "fuzz.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jpeglib.h> /* after <stdio.h>, which it needs */

#include "any_jpeg.h"
#include "check.h"
#include "native/jpeg_encode.h"
#include "native/pool.h"

#define FILE_MAX ANY_JPEG_SIZE_MAX
#define FILES 64
#define MARKERS 64
#define SECONDS_A_CASE 20
#define FINDS_MAX 10

typedef struct {
    uint8_t bytes[FILE_MAX];
    size_t size;
} file;

/* The undamaged files. */
static file corpus[FILES];
static size_t corpus_count;

/* SplitMix64: every state is a good one, also the small numbers that people choose. */
static uint64_t state;

static uint32_t below(size_t bound)
{
    uint64_t z = state += 0x9E3779B97F4A7C15u;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return bound == 0 ? 0 : (uint32_t)(z % bound);
}

/* The corpus */

static void add_file(const uint8_t *data, size_t size)
{
    CHECK(corpus_count < FILES && size <= FILE_MAX / 4);
    memcpy(corpus[corpus_count].bytes, data, size);
    corpus[corpus_count++].size = size;
}

/* Another one for each file: so files differ in their tables too. */
static int some_quality(void)
{
    return 30 + 7 * (int)(corpus_count % 10);
}

static void add_encoded(fiz_layout layout, uint32_t width, uint32_t height,
                        fiz_encode_options options)
{
    test_picture in = picture_new(layout, width, height, 0);
    fiz_block *block;
    fiz_error error;
    size_t size;

    CHECK(fiz_jpeg_encode(&in.picture, &options, 1, &block, &size, &error) == FIZ_OK);
    add_file(fiz_block_data(block), size);
    fiz_pool_release(block);
    picture_free(&in);
}

/* Kinds that our encoder does not write. */
static void add_foreign(int h, int v, unsigned restart_interval, int progressive)
{
    test_picture in = picture_new(FIZ_RGB, 50, 37, 0);
    struct jpeg_compress_struct cinfo;
    struct jpeg_error_mgr error;
    unsigned char *data = NULL;
    unsigned long size = 0;

    cinfo.err = jpeg_std_error(&error);
    jpeg_create_compress(&cinfo);
    jpeg_mem_dest(&cinfo, &data, &size);
    cinfo.image_width = in.picture.width;
    cinfo.image_height = in.picture.height;
    cinfo.input_components = 3;
    cinfo.in_color_space = JCS_RGB;
    jpeg_set_defaults(&cinfo);
    jpeg_set_quality(&cinfo, some_quality(), TRUE);
    cinfo.comp_info[0].h_samp_factor = h;
    cinfo.comp_info[0].v_samp_factor = v;
    cinfo.restart_interval = restart_interval;
    if (progressive)
        jpeg_simple_progression(&cinfo);
    jpeg_start_compress(&cinfo, TRUE);
    while (cinfo.next_scanline < cinfo.image_height) {
        JSAMPROW row = fiz_plane_row(&in.picture.planes[0], cinfo.next_scanline);
        (void)jpeg_write_scanlines(&cinfo, &row, 1);
    }
    jpeg_finish_compress(&cinfo);
    jpeg_destroy_compress(&cinfo);
    add_file(data, size);
    free(data);
    picture_free(&in);
}

static void make_corpus(void)
{
    static const uint32_t sides[][2] = { { 1, 1 }, { 17, 9 }, { 33, 70 }, { 64, 48 } };

    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++)
        for (unsigned restart_rows = 0; restart_rows < 3; restart_rows++) {
            uint32_t width = sides[i][0], height = sides[i][1];
            for (int s = FIZ_SAMPLING_444; s <= FIZ_SAMPLING_GRAY; s++) {
                fiz_encode_options options = { some_quality(), (fiz_sampling)s, restart_rows };
                fiz_layout layout = s == FIZ_SAMPLING_420 ? FIZ_YUV420 : FIZ_BGR;
                add_encoded(layout, width, height, options);
            }
        }
    for (int progressive = 0; progressive < 2; progressive++) {
        add_foreign(2, 2, 0, progressive);
        add_foreign(1, 2, 1, progressive);
        add_foreign(4, 1, 3, progressive);
        add_foreign(2, 1, 8, progressive);
    }
}

/* Damage */

/* Puts `count` bytes in the place of `removed` ones. A file that would be too long stays. */
static void replace(file *f, size_t at, size_t removed, const uint8_t *bytes, size_t count)
{
    static uint8_t kept[FILE_MAX];

    CHECK(at + removed <= f->size && count <= FILE_MAX);
    if (f->size - removed + count > FILE_MAX)
        return;
    if (count > 0)
        memcpy(kept, bytes, count); /* they may be the file's own */
    memmove(f->bytes + at + count, f->bytes + at + removed, f->size - at - removed);
    memcpy(f->bytes + at, kept, count);
    f->size += count;
    f->size -= removed;
}

/* Mostly short, now and then up to all that is left. */
static size_t some_of(size_t left)
{
    size_t most = below(4) ? 16 : left;

    return below((most < left ? most : left) + 1);
}

static uint8_t some_byte(void)
{
    static const uint8_t notable[] = { 0x00, 0x01, 0x7F, 0x80, 0xFF };

    return below(2) ? notable[below(sizeof notable)] : (uint8_t)below(256);
}

static uint8_t some_marker(void)
{
    static const uint8_t markers[] = { 0x01, 0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xC8, 0xC9,
                                       0xCC, 0xD8, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xE0,
                                       0xEE, 0xFE };

    return below(2) ? (uint8_t)(0xD0 + below(8)) : markers[below(sizeof markers)];
}

/* Offsets of what looks like markers, and how many there are. */
static size_t find_markers(const file *f, size_t *offsets)
{
    size_t count = 0;

    for (size_t at = 0; at + 1 < f->size && count < MARKERS; at++)
        if (f->bytes[at] == 0xFF && f->bytes[at + 1] != 0 && f->bytes[at + 1] != 0xFF)
            offsets[count++] = at;
    return count;
}

static void damage_a_marker(file *f)
{
    size_t offsets[MARKERS];
    size_t count = find_markers(f, offsets);
    size_t nth = below(count), other = below(count), at, end;

    if (count == 0)
        return;
    at = offsets[nth];
    end = nth + 1 < count ? offsets[nth + 1] : f->size;
    switch (below(8)) {
    case 0: /* another kind */
        f->bytes[at + 1] = some_marker();
        break;
    case 1: /* RSTn out of order; any other marker one further */
        f->bytes[at + 1] = (uint8_t)(f->bytes[at + 1] ^ (1u << below(3)));
        break;
    case 2: /* a length, a side, a sampling factor, a table's number */
        at += 2 + below(18);
        if (at < f->size)
            f->bytes[at] = some_byte();
        break;
    case 3: /* another length */
        if (at + 4 <= f->size) {
            f->bytes[at + 2] = 0;
            f->bytes[at + 3] = (uint8_t)below(24);
        }
        break;
    case 4: /* the last of the file, and cut */
        at += 2 + below(18);
        if (at < f->size)
            f->size = at;
        break;
    case 5: /* gone, without what follows it */
        replace(f, at, 2, NULL, 0);
        break;
    case 6: /* gone, with its segment */
        replace(f, at, end - at, NULL, 0);
        break;
    default: /* twice, or elsewhere too */
        replace(f, offsets[other], 0, f->bytes + at, end - at);
    }
}

static void damage(file *f)
{
    const file *other = &corpus[below(corpus_count)];
    size_t at = below(f->size), from = below(other->size);
    uint8_t bytes[16];

    switch (below(9)) {
    case 0:
        if (f->size > 0)
            f->bytes[at] ^= (uint8_t)(1u << below(8));
        break;
    case 1:
        if (f->size > 0)
            f->bytes[at] = some_byte();
        break;
    case 2: /* the end is missing */
        f->size = at;
        break;
    case 3:
        replace(f, at, some_of(f->size - at), NULL, 0);
        break;
    case 4:
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = some_byte();
        replace(f, at, 0, bytes, 1 + below(sizeof bytes));
        break;
    case 5:
        bytes[0] = 0xFF;
        bytes[1] = some_marker();
        replace(f, at, 0, bytes, 2);
        break;
    case 6: /* the end of another file */
        replace(f, at, f->size - at, other->bytes + from, other->size - from);
        break;
    default:
        damage_a_marker(f);
    }
}

static void make_case(uint64_t seed, uint64_t number, file *f)
{
    state = seed * 0xD1342543DE82EF95u + number;
    *f = corpus[below(corpus_count)];
    for (uint32_t left = 1 + below(5); left > 0; left--)
        damage(f);
}

/* Campaigns */

static void run_case(const file *f, any_jpeg *m)
{
    const file *undamaged = &corpus[below(corpus_count)];
    any_jpeg_bytes files[2] = { { f->bytes, f->size }, { undamaged->bytes, undamaged->size } };

    any_jpeg_check(m, files[0], (uint8_t)below(256), files[1]);
}

static void tell_find(const file *f, uint64_t seed, uint64_t number, int status)
{
    char path[96];
    FILE *kept;

    (void)snprintf(path, sizeof path, "fuzz-%llu-%llu.jpg", (unsigned long long)seed,
                   (unsigned long long)number);
    kept = fopen(path, "wb");
    CHECK(kept != NULL && fwrite(f->bytes, 1, f->size, kept) == f->size && fclose(kept) == 0);
    fprintf(stderr, "fuzz: case %llu %llu ended its process (%s %d): see %s\n",
            (unsigned long long)seed, (unsigned long long)number,
            WIFSIGNALED(status) ? "signal" : "exit status",
            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), path);
}

void fuzz_case(uint64_t seed, uint64_t number)
{
    static file f;
    any_jpeg m = any_jpeg_new();

    make_corpus();
    make_case(seed, number, &f);
    run_case(&f, &m);
    any_jpeg_free(&m);
}

int fuzz_campaign(uint64_t seed, uint64_t count)
{
    static file f;
    any_jpeg m = any_jpeg_new();
    uint64_t *number = mmap(NULL, sizeof *number, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int finds = 0;

    CHECK(number != MAP_FAILED);
    make_corpus();
    while (*number < count && finds < FINDS_MAX) {
        pid_t child;
        int status;
        fflush(NULL);
        child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            for (; *number < count; ++*number) {
                alarm(SECONDS_A_CASE);
                make_case(seed, *number, &f);
                run_case(&f, &m);
            }
            exit(0);
        }
        CHECK(waitpid(child, &status, 0) == child);
        if (status != 0) {
            make_case(seed, *number, &f);
            tell_find(&f, seed, *number, status);
            finds++;
            ++*number;
        }
    }
    printf("fuzz: %llu cases of seed %llu, %d finds\n", (unsigned long long)*number,
           (unsigned long long)seed, finds);
    CHECK(munmap(number, sizeof *number) == 0);
    any_jpeg_free(&m);
    return finds;
}
