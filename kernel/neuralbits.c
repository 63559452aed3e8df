/* The runtime in one file, in the order of docs/projection.md, whose sections it cites:
 *
 *   Builds          what is compiled for AVX2 and AVX-512 as well
 *   Types           the structures that the rest works on, with their shapes
 *   Words           bits of words, little-endian numbers
 *   Text            code points to normalised characters (sections 1 and 2)
 *   Hashes          MurmurHash3 (section 3)
 *   Votes           features to counts (sections 4 and 5)
 *   N-grams         characters to features (section 3)
 *   Bits            counts to neural bits (section 5)
 *   Layers          bits to scores (section 6)
 *   Scratch         the caller's buffer; projecting and scoring
 *   Probabilities   scores to probabilities
 *   Explanations    the influence of each n-gram (section 7)
 *   File            the artifact's JSON and tensors (docs/artifact.md); opening
 *
 * neuralbits.h declares the API. */

#include "neuralbits.h"

#include <float.h>
#include <string.h>

/* ---- Builds -------------------------------------------------------------------------------------- */

/* On x86-64, the code that takes most of the time is compiled three times from the same lines, so that all
 * builds give the same bits; the processor is asked which one it can run. NEURALBITS_SIMD chooses the builds:
 * 0 portable, 1 also AVX2, 2 also AVX-512. */
#ifndef NEURALBITS_SIMD
#if defined(__GNUC__) && defined(__x86_64__)
#define NEURALBITS_SIMD 2
#else
#define NEURALBITS_SIMD 0
#endif
#endif

#if NEURALBITS_SIMD
#define INLINED static inline __attribute__((always_inline))
#define AVX2 "avx2,popcnt"
#ifdef __clang__ /* which ignores the whole list for a word that it doesn't know */
#define AVX512 AVX2 ",avx512vl,avx512vpopcntdq"
#else
#define AVX512 AVX2 ",avx512vl,avx512vpopcntdq,prefer-vector-width=256"
#endif
#define SIMD_VERSIONS(function, parameters, arguments)                                             \
    __attribute__((target(AVX512))) static void function##_avx512 parameters                       \
    {                                                                                              \
        function##_as_compiled arguments;                                                          \
    }                                                                                              \
    __attribute__((target(AVX2))) static void function##_avx2 parameters                           \
    {                                                                                              \
        function##_as_compiled arguments;                                                          \
    }                                                                                              \
    static void function parameters                                                                \
    {                                                                                              \
        if (NEURALBITS_SIMD > 1 && __builtin_cpu_supports("avx512vl") &&                           \
            __builtin_cpu_supports("avx512vpopcntdq"))                                             \
            function##_avx512 arguments;                                                           \
        else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt"))               \
            function##_avx2 arguments;                                                             \
        else                                                                                       \
            function##_as_compiled arguments;                                                      \
    }
#else
#define INLINED static
#define SIMD_VERSIONS(function, parameters, arguments)                                             \
    static void function parameters                                                                \
    {                                                                                              \
        function##_as_compiled arguments;                                                          \
    }
#endif

/* Inlined into both scoring and explaining, so that explaining costs scoring nothing. */
#ifdef __GNUC__
#define SHARED static inline __attribute__((always_inline))
#else
#define SHARED static
#endif

/* ---- Types --------------------------------------------------------------------------------------- */

#define MAX_NGRAM_LENGTH 5 /* characters */
#define MIN_NGRAM_LENGTH 2
#define TOGETHER 64 /* features that draw their random words at once */
#define ABREAST 32  /* functions whose counts are handled at once; `columns` is a multiple of it */
#define RECENT 4    /* planes of the counts of recent votes, of which there are thus up to 15 */
#define SLOTS (2 * NEURALBITS_MAX_NGRAMS)

/* The entries of unicode.h. Each starts with its last code point; a table is sorted by these. */
typedef struct {
    uint32_t last, first;
} neuralbits_range;

typedef struct {
    uint32_t last, becomes;
    uint16_t span, step;
} neuralbits_run;

typedef struct {
    uint32_t last;
    uint16_t start, count;
} neuralbits_expansion;

typedef enum { SPACE, LETTER, DIGIT, SYMBOL } character_class;

/* The families of n-grams, as bits. */
enum { WORDS = 1, WORD_BIGRAMS = 2, SKIP_BIGRAMS = 4, CHARACTERS = 8 };

/* A MurmurHash3 under way. */
typedef struct {
    uint32_t hash, block, length;
} murmur;

/* How often each dimension of each function was voted for, in bit planes: bit j of word (p, t) is bit p of the
 * count of dimension j of function t. So a vote adds to all dimensions of a function in a few operations on
 * words. Recent votes are counted apart, so a vote costs as much in a long text as in a short one. */
typedef struct {
    const neuralbits_model *model;
    uint64_t *planes;        /* (planes, columns) */
    uint64_t *recent_planes; /* (RECENT, columns) */
    uint32_t *voters;        /* (columns,): how many features took part in each function */
    uint32_t *recent_voters; /* (columns,) likewise */
    uint32_t *places; /* (functions,): the column of each, NOWHERE if it is pruned; NULL if none is */
    size_t columns;   /* kept functions, padded to a multiple of ABREAST */
    uint32_t most;    /* voters of any function; planes beyond its bits are empty */
    uint64_t features;
    uint32_t waiting[TOGETHER]; /* features that have yet to vote */
    unsigned waiting_count;
} votes;

/* What extracting n-grams keeps of the tokens so far. N-grams are hashed as their characters arrive, so a token
 * may have any length and none is stored. */
typedef struct {
    votes *votes;
    character_class class; /* of the token under way; SPACE if there is none */
    uint64_t tokens;       /* that have ended */
    murmur word;           /* the token under way */
    murmur bigram;         /* the token before it, a space, and it */
    murmur next_bigram;    /* it alone, the start of the next bigram */
    murmur skip, next_skip, skip_after; /* likewise for the tokens two before, one before, and it */
    uint8_t window[4 * MAX_NGRAM_LENGTH]; /* the last characters of the token and its bounds */
    uint8_t widths[MAX_NGRAM_LENGTH];     /* the bytes of each */
    unsigned in_window, window_bytes;
} extractor;

/* The input of a layer: bits, or the activations of the layer before it. */
typedef struct {
    const uint64_t *bits; /* (code_bits, words); NULL after the first layer */
    size_t words;
    uint32_t code_bits;
    const int16_t *even, *odd; /* (pairs,) each: activations 0, 2, 4 ... and 1, 3, 5 ..., so the two 4-bit
                                * weights of a byte meet theirs without a shuffle */
    size_t pairs;              /* padded with 0 after the last activation */
    int32_t total;             /* the sum of the activations */
} layer_input;

/* The nonzero weights of a sparse layer, in order (docs/artifact.md). */
typedef struct {
    const uint8_t *values, *gaps;
    size_t gap_bytes, bit;
    unsigned width;
    uint32_t count, next;
    uint64_t place; /* of the last weight that was read, by rows, plus 1 */
} sparse_reader;

/* Where the parts of the scratch buffer begin, in bytes. */
typedef struct {
    size_t planes, recent_planes, voters, recent_voters, places, bits, activations, half, size;
} scratch_layout;

/* Likewise for explaining; scoring comes first. */
typedef struct {
    scratch_layout scoring;
    size_t all, some, left, bits, scores, ngrams, slots, tokens, size;
} explaining_layout;

/* The distinct n-grams of a text, in a hash table of their features. */
typedef struct {
    votes *votes;             /* of all of them */
    const uint8_t *tokens;    /* a space before each, and one after the last; then a NUL */
    uint32_t token_bytes;
    neuralbits_ngram *ngrams; /* (count,) */
    uint32_t count;
    uint16_t *slots; /* (SLOTS,): the place of an n-gram, from 1; 0 if the slot is free */
} collection;

/* A reader of JSON in place. The settings are a string within the header's JSON, so each of their quotes and
 * backslashes has a backslash before it. */
typedef struct {
    const uint8_t *at, *end;
    int quoted; /* the JSON is itself within a string */
    int failed; /* it isn't what it should be; nothing that is read from here on counts */
} json;

typedef enum { OTHER_TYPE, U8, I8, I16, I32, F32 } tensor_type;

/* A tensor of the header. */
typedef struct {
    tensor_type type;
    unsigned dimensions; /* 0: there is no such tensor */
    uint64_t shape[3];
    uint64_t begin, end; /* bytes within the content */
} tensor;

typedef struct {
    tensor weights, bias, multiplier;
} layer_tensors;

typedef struct {
    tensor labels;
    layer_tensors layers[NEURALBITS_MAX_LAYERS];
    int beyond; /* the file has a layer beyond NEURALBITS_MAX_LAYERS */
    json settings;
    const uint8_t *content;
    uint64_t size;
} tensor_table;

#include "unicode.h"

/* ---- Words: bits --------------------------------------------------------------------------------- */

/* Compilers know this form, and put the machine's own instruction for it, if there is one. */
INLINED unsigned popcount(uint64_t x)
{
    x -= x >> 1 & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
    x = (x + (x >> 4)) & 0x0F0F0F0F0F0F0F0Fu;
    return (unsigned)(x * 0x0101010101010101u >> 56);
}

static unsigned bit_length(uint64_t x)
{
    unsigned bits = 0;
    for (; x; x >>= 1)
        bits++;
    return bits;
}

static uint64_t low_bits(unsigned count)
{
    return count == 64 ? ~(uint64_t)0 : ((uint64_t)1 << count) - 1;
}

/* ---- Words: little-endian numbers, not aligned --------------------------------------------------- */

static uint32_t u32_at(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static int32_t as_signed(uint32_t x)
{
    return x < 0x80000000u ? (int32_t)x : (int32_t)(x - 0x80000000u) + INT32_MIN;
}

static int32_t i32_at(const uint8_t *at)
{
    return as_signed(u32_at(at));
}

static int32_t i16_at(const uint8_t *at)
{
    int32_t x = at[0] | at[1] << 8;
    return x < 0x8000 ? x : x - 0x10000;
}

static uint64_t word_at(const uint8_t *at)
{
    return u32_at(at) | (uint64_t)u32_at(at + 4) << 32;
}

/* Read less than 8 bytes as the low ones of a word. */
static uint64_t partial_word_at(const uint8_t *at, size_t bytes)
{
    uint64_t word = 0;
    size_t i;
    for (i = 0; i < bytes; i++)
        word |= (uint64_t)at[i] << 8 * i;
    return word;
}

/* ---- Text: code points in, normalised tokens out (docs/projection.md, sections 1 and 2) ---------- */

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define REPLACEMENT 0xFFFDu

/* Return the first entry of a table that ends at a code point or after it; NULL if there is none. */
static const void *found(const void *table, size_t count, size_t entry_size, uint32_t code)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        uint32_t last;
        memcpy(&last, (const uint8_t *)table + middle * entry_size, sizeof last);
        if (code > last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count ? (const uint8_t *)table + low * entry_size : NULL;
}

#define FOUND(table, code) found(table, COUNT(table), sizeof(table)[0], code)

static int within(const neuralbits_range *range, uint32_t code)
{
    return range && code >= range->first;
}

/* Decode the code point that starts at *place, and move on. */
SHARED uint32_t decode(const uint8_t *text, size_t bytes, size_t *place)
{
    uint32_t lead = text[*place], code;
    size_t length, i;
    *place += 1;
    if (lead < 0x80)
        return lead;
    if (lead < 0xC2 || lead > 0xF4)
        return REPLACEMENT;
    length = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    code = lead & (0x3Fu >> length);
    for (i = 0; i < length; i++) {
        uint32_t least = 0x80, most = 0xBF, next;
        if (*place >= bytes)
            return REPLACEMENT;
        if (i == 0) { /* neither a longer form than it takes, nor beyond Unicode */
            least = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
            most = lead == 0xF4 ? 0x8F : 0xBF;
        }
        next = text[*place];
        if (next < least || next > most)
            return REPLACEMENT;
        code = code << 6 | (next & 0x3F);
        *place += 1;
    }
    return code >= 0xD800 && code <= 0xDFFF ? REPLACEMENT : code;
}

static size_t encode(uint32_t code, uint8_t *bytes)
{
    if (code < 0x80) {
        bytes[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        bytes[0] = (uint8_t)(0xC0 | code >> 6);
        bytes[1] = (uint8_t)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        bytes[0] = (uint8_t)(0xE0 | code >> 12);
        bytes[1] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
        bytes[2] = (uint8_t)(0x80 | (code & 0x3F));
        return 3;
    }
    bytes[0] = (uint8_t)(0xF0 | code >> 18);
    bytes[1] = (uint8_t)(0x80 | (code >> 12 & 0x3F));
    bytes[2] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
    bytes[3] = (uint8_t)(0x80 | (code & 0x3F));
    return 4;
}

#define MAX_OWN 3

/* Return what a code point becomes, and of how many: from a table, or in `own`. */
SHARED const uint32_t *normalised(uint32_t code, uint32_t own[MAX_OWN], unsigned *count)
{
    const neuralbits_run *run;
    const neuralbits_expansion *expansion;
    own[0] = code;
    *count = 1;
    if (code >= 'A' && code <= 'Z') {
        own[0] = code + ('a' - 'A');
        return own;
    }
    if (within(FOUND(NEURALBITS_REMOVED, code), code)) {
        *count = 0;
        return own;
    }
    if (within(FOUND(NEURALBITS_SEPARATORS, code), code)) {
        own[0] = ' ';
        return own;
    }
    if (code >= 0xAC00 && code <= 0xD7A3) {
        uint32_t index = code - 0xAC00;
        own[0] = 0x1100 + index / 588;
        own[1] = 0x1161 + index % 588 / 28;
        own[2] = 0x11A7 + index % 28;
        *count = index % 28 ? 3 : 2;
        return own;
    }
    run = FOUND(NEURALBITS_FOLDED, code);
    if (run && run->last - code <= run->span && (run->last - code) % run->step == 0) {
        own[0] = run->becomes - (run->last - code);
        return own;
    }
    expansion = FOUND(NEURALBITS_EXPANDED, code);
    if (expansion && expansion->last == code) {
        *count = expansion->count;
        return NEURALBITS_POOL + expansion->start;
    }
    return own;
}

SHARED character_class class_of(uint32_t code)
{
    if (code < 0x80) {
        int letter = code >= 'a' && code <= 'z', digit = code >= '0' && code <= '9';
        return code == ' ' ? SPACE : letter ? LETTER : digit ? DIGIT : SYMBOL;
    }
    if (within(FOUND(NEURALBITS_LETTERS, code), code))
        return LETTER;
    return within(FOUND(NEURALBITS_DIGITS, code), code) ? DIGIT : SYMBOL;
}

/* ---- Hashes (section 3): MurmurHash3_x86_32, of a whole string or byte by byte ------------------- */

static uint32_t rotated(uint32_t x, unsigned by)
{
    return x << by | x >> (32 - by);
}

static uint32_t scrambled(uint32_t block)
{
    return rotated(block * 0xCC9E2D51u, 15) * 0x1B873593u;
}

/* The finaliser of MurmurHash3, which draws random words, too (section 4). */
INLINED uint32_t mixed(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x85EBCA6Bu;
    x ^= x >> 13;
    x *= 0xC2B2AE35u;
    return x ^ x >> 16;
}

static murmur murmur_start(uint32_t seed)
{
    murmur m = {seed, 0, 0};
    return m;
}

static void murmur_add(murmur *m, const uint8_t *bytes, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++) {
        unsigned place = m->length++ & 3;
        m->block |= (uint32_t)bytes[i] << 8 * place;
        if (place == 3) {
            m->hash = rotated(m->hash ^ scrambled(m->block), 13) * 5 + 0xE6546B64u;
            m->block = 0;
        }
    }
}

static uint32_t murmur_end(const murmur *m)
{
    return mixed((m->hash ^ scrambled(m->block)) ^ m->length);
}

/* Hash a string that lies together. */
static uint32_t murmur_of(const uint8_t *bytes, uint32_t count, uint32_t seed)
{
    uint32_t hash = seed, block = 0, i;
    for (i = 0; i + 4 <= count; i += 4)
        hash = rotated(hash ^ scrambled(u32_at(bytes + i)), 13) * 5 + 0xE6546B64u;
    for (; i < count; i++)
        block |= (uint32_t)bytes[i] << 8 * (i & 3);
    return mixed((hash ^ scrambled(block)) ^ count);
}

/* ---- Votes (sections 4 and 5) -------------------------------------------------------------------- */

#define NOWHERE 0xFFFFFFFFu /* the place of a pruned function */
#define GOLDEN 0x9E3779B9u

static unsigned log2_of(uint32_t power)
{
    unsigned bits = 0;
    while (power >>= 1)
        bits++;
    return bits;
}

/* Add the recent votes to the counts, for functions abreast. */
INLINED void settle(votes *v, size_t column)
{
    uint64_t carried[ABREAST] = {0};
    unsigned p, i, used;
    for (i = 0; i < ABREAST; i++) {
        uint32_t voters = v->voters[column + i] += v->recent_voters[column + i];
        v->most = voters > v->most ? voters : v->most;
        v->recent_voters[column + i] = 0;
    }
    used = bit_length(v->most);
    for (p = 0; p < used; p++) {
        uint64_t *plane = v->planes + p * v->columns + column;
        uint64_t *recent = v->recent_planes + (p < RECENT ? p : 0) * v->columns + column;
        for (i = 0; i < ABREAST; i++) {
            uint64_t x = plane[i], y = p < RECENT ? recent[i] : 0;
            plane[i] = x ^ y ^ carried[i];
            carried[i] = (x & y) | ((x ^ y) & carried[i]);
        }
        if (p < RECENT)
            memset(recent, 0, ABREAST * sizeof *recent);
    }
}

/* Draw one word of each waiting feature's random stream. */
INLINED void draw(const votes *v, uint32_t place, uint32_t words[TOGETHER])
{
    unsigned i;
    for (i = 0; i < TOGETHER; i++)
        words[i] = mixed(v->waiting[i] + place * GOLDEN);
}

/* Let the waiting features vote. */
INLINED void count_as_compiled(votes *v)
{
    const neuralbits_model *model = v->model;
    uint64_t *planes = v->recent_planes, dimensions = low_bits(model->dimensions);
    uint32_t *voters = v->recent_voters, group_size = model->group_size;
    uint32_t groups = model->functions / group_size, group;
    uint32_t choices[TOGETHER] = {0}, low[TOGETHER], high[TOGETHER] = {0};
    unsigned choice_bits = log2_of(group_size), i, p;
    uint32_t choices_per_word = choice_bits ? 32 / choice_bits : groups, choice_place = 0;
    uint32_t sign_place = choice_bits ? (groups + choices_per_word - 1) / choices_per_word : 0;
    size_t columns = v->columns;
    for (group = 0; group < groups; group++) {
        if (choice_bits && group % choices_per_word == 0)
            draw(v, ++choice_place, choices);
        draw(v, ++sign_place, low);
        if (model->dimensions > 32)
            draw(v, ++sign_place, high);
        for (i = 0; i < v->waiting_count; i++) {
            uint32_t column = group * group_size + (choices[i] & (group_size - 1));
            uint64_t signs = (low[i] | (uint64_t)high[i] << 32) & dimensions, *plane;
            if (v->places && (column = v->places[column]) == NOWHERE)
                continue;
            plane = planes + column;
            for (p = 0; p < RECENT; p++) {
                uint64_t counted = *plane;
                *plane = counted ^ signs;
                signs &= counted;
                plane += columns;
            }
            if (++voters[column] == (1u << RECENT) - 1)
                settle(v, column / ABREAST * ABREAST);
        }
        for (i = 0; i < TOGETHER; i++)
            choices[i] >>= choice_bits;
    }
    v->features += v->waiting_count;
    v->waiting_count = 0;
}

SIMD_VERSIONS(count, (votes * v), (v))

static void vote(votes *v, uint32_t feature)
{
    v->waiting[v->waiting_count++] = feature;
    if (v->waiting_count == TOGETHER)
        count(v);
}

/* ---- N-grams (section 3) ------------------------------------------------------------------------- */

static void extract_character_ngrams(extractor *e, uint32_t code)
{
    unsigned length, bytes = 0;
    if (e->in_window == MAX_NGRAM_LENGTH) {
        e->window_bytes -= e->widths[0];
        memmove(e->window, e->window + e->widths[0], e->window_bytes);
        memmove(e->widths, e->widths + 1, sizeof e->widths - 1);
        e->in_window--;
    }
    e->widths[e->in_window] = (uint8_t)encode(code, e->window + e->window_bytes);
    e->window_bytes += e->widths[e->in_window++];
    for (length = 1; length <= e->in_window; length++) {
        bytes += e->widths[e->in_window - length];
        if (length > 1)
            vote(e->votes, murmur_of(e->window + e->window_bytes - bytes, bytes, 4));
    }
}

static void add_to_token(extractor *e, uint32_t code)
{
    unsigned families = e->votes->model->families;
    uint8_t bytes[4];
    size_t count = encode(code, bytes);
    if (families & WORDS)
        murmur_add(&e->word, bytes, count);
    if (families & WORD_BIGRAMS) {
        murmur_add(&e->bigram, bytes, count);
        murmur_add(&e->next_bigram, bytes, count);
    }
    if (families & SKIP_BIGRAMS) {
        murmur_add(&e->skip, bytes, count);
        murmur_add(&e->skip_after, bytes, count);
    }
    if (families & CHARACTERS)
        extract_character_ngrams(e, code);
}

static void begin_token(extractor *e, character_class class)
{
    static const uint8_t space = ' ';
    e->class = class;
    e->word = murmur_start(1);
    e->next_bigram = murmur_start(2);
    e->skip_after = murmur_start(3);
    murmur_add(&e->bigram, &space, 1);
    murmur_add(&e->skip, &space, 1);
    e->in_window = e->window_bytes = 0;
    if (e->votes->model->families & CHARACTERS)
        extract_character_ngrams(e, ' ');
}

static void end_token(extractor *e)
{
    unsigned families = e->votes->model->families;
    if (e->class == SPACE)
        return;
    if (families & CHARACTERS)
        extract_character_ngrams(e, ' ');
    if (families & WORDS)
        vote(e->votes, murmur_end(&e->word));
    if (families & WORD_BIGRAMS)
        vote(e->votes, murmur_end(&e->bigram));
    if (families & SKIP_BIGRAMS && e->tokens >= 2)
        vote(e->votes, murmur_end(&e->skip));
    e->bigram = e->next_bigram;
    e->skip = e->next_skip;
    e->next_skip = e->skip_after;
    e->tokens++;
    e->class = SPACE;
}

static void extract_normalised(extractor *e, uint32_t code)
{
    character_class class = class_of(code);
    if (class != e->class || class == SYMBOL) {
        end_token(e);
        if (class == SPACE)
            return;
        begin_token(e, class);
    }
    if (class != SPACE)
        add_to_token(e, code);
}

static void extract(extractor *e, uint32_t code)
{
    uint32_t own[MAX_OWN];
    const uint32_t *codes;
    unsigned count, i;
    if (code >= 'a' && code <= 'z') {
        extract_normalised(e, code);
        return;
    }
    codes = normalised(code, own, &count);
    for (i = 0; i < count; i++)
        extract_normalised(e, codes[i]);
}

static void extract_ngrams(votes *v, const uint8_t *text, size_t bytes)
{
    static const uint8_t space = ' ';
    extractor e;
    size_t place = 0;
    memset(&e, 0, sizeof e);
    e.votes = v;
    e.bigram = murmur_start(2); /* the text begins with an empty token */
    e.skip = murmur_start(3);
    e.next_skip = murmur_start(3);
    while (place < bytes)
        extract(&e, decode(text, bytes, &place));
    end_token(&e);
    if (e.tokens && v->model->families & WORD_BIGRAMS) { /* and ends with one */
        murmur_add(&e.bigram, &space, 1);
        vote(v, murmur_end(&e.bigram));
    }
}

/* ---- Bits (section 5) ---------------------------------------------------------------------------- */

static uint64_t square_root(uint64_t x)
{
    uint64_t root = 0, bit;
    for (bit = (uint64_t)1 << 31; bit; bit >>= 1)
        if ((root + bit) * (root + bit) <= x)
            root += bit;
    return root;
}

/* Which dimensions of functions abreast have a count of at least `least`, one number for each? */
INLINED void counts_from(const votes *v, size_t column, unsigned used, const uint64_t *least,
                         uint64_t *result)
{
    uint64_t more[ABREAST] = {0}, equal[ABREAST];
    unsigned p = used, i;
    memset(equal, 0xFF, sizeof equal);
    while (p--) {
        const uint64_t *plane = v->planes + p * v->columns + column;
        for (i = 0; i < ABREAST; i++) {
            uint64_t bit = 0 - (least[i] >> p & 1);
            more[i] |= equal[i] & plane[i] & ~bit;
            equal[i] &= ~(plane[i] ^ bit);
        }
    }
    for (i = 0; i < ABREAST; i++)
        result[i] = least[i] >> used ? 0 : more[i] | equal[i];
}

/* The sum of the squares of all sums, 2·count − voters each. */
INLINED uint64_t squares(const votes *v, unsigned used)
{
    uint32_t dimensions = v->model->dimensions;
    uint64_t total = 0;
    size_t column;
    unsigned p, q, i;
    for (column = 0; column < v->columns; column += ABREAST) {
        uint64_t counts[ABREAST] = {0}, count_squares[ABREAST] = {0};
        for (p = 0; p < used; p++) {
            const uint64_t *one = v->planes + p * v->columns + column;
            for (i = 0; i < ABREAST; i++) {
                counts[i] += (uint64_t)popcount(one[i]) << p;
                count_squares[i] += (uint64_t)popcount(one[i]) << 2 * p;
            }
            for (q = 0; q < p; q++) {
                const uint64_t *other = v->planes + q * v->columns + column;
                for (i = 0; i < ABREAST; i++)
                    count_squares[i] += (uint64_t)popcount(one[i] & other[i]) << (p + q + 1);
            }
        }
        for (i = 0; i < ABREAST; i++) { /* modulo 2^64: exact */
            uint64_t n = v->voters[column + i];
            total += 4 * count_squares[i] + n * n * dimensions - 4 * n * counts[i];
        }
    }
    return total;
}

static void put(uint64_t *bits, size_t place, uint64_t value, unsigned count)
{
    unsigned shift = place & 63;
    bits[place >> 6] |= value << shift;
    if (shift + count > 64)
        bits[(place >> 6) + 1] |= value >> (64 - shift);
}

static uint32_t network_inputs(const neuralbits_model *model)
{
    return model->kept * (model->blocks ? (uint32_t)1 << model->dimensions : model->dimensions);
}

static size_t words_of(uint32_t bits)
{
    return ((size_t)bits + 63) / 64;
}

INLINED void write_bits_as_compiled(votes *v, uint64_t *bits)
{
    const neuralbits_model *model = v->model;
    uint32_t d = model->dimensions;
    size_t words = words_of(network_inputs(model)), column;
    uint64_t all = low_bits(d), root = 0;
    unsigned used, i;
    for (column = 0; column < v->columns; column += ABREAST)
        settle(v, column);
    used = bit_length(v->most);
    memset(bits, 0, words * model->code_bits * sizeof *bits);
    if (model->code_bits == 2)
        root = square_root(squares(v, used) / ((uint64_t)model->kept * d));
    for (column = 0; column < model->kept; column += ABREAST) {
        uint64_t least[ABREAST], positive[ABREAST], high[ABREAST], low[ABREAST];
        for (i = 0; i < ABREAST; i++)
            least[i] = v->voters[column + i] / 2 + 1;
        counts_from(v, column, used, least, positive);
        if (model->code_bits == 2) {
            for (i = 0; i < ABREAST; i++)
                least[i] = (v->voters[column + i] + root) / 2 + 1;
            counts_from(v, column, used, least, high);
            for (i = 0; i < ABREAST; i++) {
                uint64_t n = v->voters[column + i];
                least[i] = n > root ? (n - root + 1) / 2 : 0;
            }
            counts_from(v, column, used, least, low);
        }
        for (i = 0; i < ABREAST && column + i < model->kept; i++) {
            size_t place = (column + i) * d;
            if (model->blocks) {
                put(bits, ((column + i) << d) + (size_t)(positive[i] & all), 1, 1);
                continue;
            }
            put(bits, place, positive[i] & all, d);
            if (model->code_bits == 2)
                put(bits + words, place,
                    ((positive[i] & high[i]) | (~positive[i] & low[i])) & all, d);
        }
    }
}

SIMD_VERSIONS(write_bits, (votes * v, uint64_t *bits), (v, bits))

/* ---- Layers (section 6) -------------------------------------------------------------------------- */

static int32_t value_at(const layer_input *input, uint32_t i)
{
    int32_t first;
    if (!input->bits)
        return i & 1 ? input->odd[i >> 1] : input->even[i >> 1];
    first = (int32_t)(input->bits[i >> 6] >> (i & 63) & 1) * 2 - 1;
    if (input->code_bits == 1)
        return first;
    return 2 * first + (int32_t)(input->bits[input->words + (i >> 6)] >> (i & 63) & 1) * 2 - 1;
}

/* Return weight i of a row, or of a list, of 4 or of 8 bits. */
static int32_t weight_at(const uint8_t *weights, neuralbits_precision precision, size_t i)
{
    if (precision == NEURALBITS_INT4)
        return (int32_t)((i & 1 ? weights[i >> 1] >> 4 : weights[i >> 1] & 15) ^ 8) - 8;
    return weights[i] < 128 ? (int32_t)weights[i] : (int32_t)weights[i] - 256;
}

static unsigned value_bits(neuralbits_precision precision)
{
    return precision == NEURALBITS_INT8 ? 8 : precision == NEURALBITS_INT4 ? 4 : 1;
}

static const uint8_t *row_of(const neuralbits_layer *layer, uint32_t unit)
{
    size_t inputs = layer->inputs;
    return layer->weights + unit * (layer->precision == NEURALBITS_INT4   ? (inputs + 1) / 2
                                    : layer->precision == NEURALBITS_INT8 ? inputs
                                                                          : (inputs + 7) / 8);
}

#define ROWS_ABREAST 4

/* The weighted sums of bits with weights of one bit, or with those of them that aren't 0, for rows abreast:
 * of both bits of each sum, the first of which counts double. Where bit and weight agree that gives 1,
 * otherwise -1. */
INLINED void sums_of_bits(const neuralbits_layer *layer, const layer_input *input, uint32_t unit,
                          uint32_t rows, int32_t *sums)
{
    const uint64_t *first = input->bits;
    const uint64_t *second = input->code_bits == 2 ? first + input->words : first;
    const uint8_t *positive = row_of(layer, unit), *nonzero = NULL;
    uint64_t weights[ROWS_ABREAST], unlike[ROWS_ABREAST] = {0};
    size_t length = ((size_t)layer->inputs + 7) / 8, words = layer->inputs / 64, i;
    unsigned rest = layer->inputs & 63;
    uint32_t row;
    if (layer->precision == NEURALBITS_TERNARY) {
        nonzero = positive;
        positive = row_of(layer, layer->units + unit); /* in the second plane */
    }
    for (row = 0; row < rows; row++)
        weights[row] = nonzero ? 0 : layer->inputs;
    if (!nonzero) {
        for (i = 0; i < words; i++)
            for (row = 0; row < rows; row++) {
                uint64_t plus = word_at(positive + row * length + 8 * i);
                unlike[row] += 2 * (uint64_t)popcount(first[i] ^ plus) + popcount(second[i] ^ plus);
            }
    } else {
        for (i = 0; i < words; i++)
            for (row = 0; row < rows; row++) {
                uint64_t plus = word_at(positive + row * length + 8 * i);
                uint64_t mask = word_at(nonzero + row * length + 8 * i);
                weights[row] += popcount(mask);
                unlike[row] += 2 * (uint64_t)popcount((first[i] ^ plus) & mask);
                unlike[row] += popcount((second[i] ^ plus) & mask);
            }
    }
    for (row = 0; row < rows; row++) {
        if (rest) {
            size_t at = row * length + 8 * words, left = (rest + 7) / 8;
            uint64_t plus = partial_word_at(positive + at, left), mask = low_bits(rest);
            if (nonzero)
                weights[row] += popcount(mask &= partial_word_at(nonzero + at, left));
            unlike[row] += 2 * (uint64_t)popcount((first[words] ^ plus) & mask);
            unlike[row] += popcount((second[words] ^ plus) & mask);
        }
        sums[row] = 3 * (int32_t)weights[row] - 2 * (int32_t)unlike[row];
        if (input->code_bits == 1) /* which was taken for both */
            sums[row] /= 3;
    }
}

/* The weighted sum of activations with weights of 4 or 8 bits. Taken as they are but for the sign's bit,
 * weights are too large by 8 or by 128; so the sum is by as many times that of the activations. On the way it
 * may exceed 32 bits, and is right modulo 2^32.
 *
 * Vectors take 16 pairs at once, so a row is read on into the next one, where the activations are 0. */
INLINED int32_t product(const neuralbits_layer *layer, const uint8_t *weights,
                        const layer_input *input)
{
    const int16_t *even = input->even, *odd = input->odd;
    size_t left = layer->weight_bytes - (size_t)(weights - layer->weights), pairs = input->pairs, i;
    uint32_t sum = 0;
    if (layer->precision == NEURALBITS_INT4) {
        pairs = pairs < left ? pairs : left;
        for (i = 0; i < pairs; i++)
            sum += (uint32_t)(((weights[i] & 15) ^ 8) * even[i] + (weights[i] >> 4 ^ 8) * odd[i]);
        return as_signed(sum - 8 * (uint32_t)input->total);
    }
    pairs = pairs < left / 2 ? pairs : left / 2;
    for (i = 0; i < pairs; i++)
        sum += (uint32_t)((weights[2 * i] ^ 128) * even[i] + (weights[2 * i + 1] ^ 128) * odd[i]);
    if (2 * pairs < layer->inputs)
        sum += (uint32_t)((weights[2 * pairs] ^ 128) * even[pairs]);
    return as_signed(sum - 128 * (uint32_t)input->total);
}

INLINED int32_t dense_sum(const neuralbits_layer *layer, const layer_input *input, uint32_t unit)
{
    uint32_t inputs = layer->inputs, i;
    const uint8_t *w = row_of(layer, unit), *nonzero = NULL;
    int32_t sum = 0;
    if (value_bits(layer->precision) > 1) {
        if (!input->bits)
            return product(layer, w, input);
        for (i = 0; i < inputs; i++)
            sum += weight_at(w, layer->precision, i) * value_at(input, i);
        return sum;
    }
    if (layer->precision == NEURALBITS_TERNARY) {
        nonzero = w;
        w = row_of(layer, layer->units + unit);
    }
    for (i = 0; i < inputs; i++)
        if (!nonzero || nonzero[i >> 3] >> (i & 7) & 1)
            sum += w[i >> 3] >> (i & 7) & 1 ? value_at(input, i) : -value_at(input, i);
    return sum;
}

/* Take the sums of one row, or of rows abreast; return how many. */
INLINED uint32_t dense_sums(const neuralbits_layer *layer, const layer_input *input, uint32_t unit,
                            int32_t *sums)
{
    if (!input->bits || value_bits(layer->precision) > 1) {
        sums[0] = dense_sum(layer, input, unit);
        return 1;
    }
    if (layer->units - unit < ROWS_ABREAST) {
        sums_of_bits(layer, input, unit, 1, sums);
        return 1;
    }
    sums_of_bits(layer, input, unit, ROWS_ABREAST, sums);
    return ROWS_ABREAST;
}

#define SPARSE_HEADER 5

static int sparse_start(sparse_reader *r, const neuralbits_layer *layer)
{
    uint64_t value_bytes;
    if (layer->weight_bytes < SPARSE_HEADER)
        return 0;
    memset(r, 0, sizeof *r);
    r->width = layer->weights[0];
    r->count = u32_at(layer->weights + 1);
    value_bytes = ((uint64_t)r->count * value_bits(layer->precision) + 7) / 8;
    if (r->width < 1 || r->width > 8 || value_bytes > layer->weight_bytes - SPARSE_HEADER)
        return 0;
    r->values = layer->weights + SPARSE_HEADER;
    r->gaps = r->values + value_bytes;
    r->gap_bytes = (size_t)(layer->weight_bytes - SPARSE_HEADER - value_bytes);
    return 1;
}

/* Go on to the next weight; 0 if its gap ends too soon. */
static int sparse_next(sparse_reader *r)
{
    unsigned longest = (1u << r->width) - 1, field;
    do {
        size_t byte = r->bit >> 3;
        if (r->bit + r->width > 8 * r->gap_bytes)
            return 0;
        field = r->gaps[byte];
        if (byte + 1 < r->gap_bytes)
            field |= (unsigned)r->gaps[byte + 1] << 8;
        field = field >> (r->bit & 7) & longest;
        r->bit += r->width;
        r->place += field;
    } while (field == longest);
    r->place++;
    r->next++;
    return 1;
}

static int32_t sparse_value(const sparse_reader *r, neuralbits_precision precision)
{
    uint32_t i = r->next - 1;
    if (precision == NEURALBITS_TERNARY)
        return r->values[i >> 3] >> (i & 7) & 1 ? 1 : -1;
    return weight_at(r->values, precision, i);
}

static int64_t shifted(int64_t x, unsigned by)
{
    if (!by)
        return x;
    x += (int64_t)1 << (by - 1);
    return x >= 0 ? x >> by : -((-x + ((int64_t)1 << by) - 1) >> by);
}

/* Add what the weights of one row of a sparse layer give. */
static int32_t sparse_sum(sparse_reader *r, int *more, const neuralbits_layer *layer,
                          const layer_input *input, uint32_t unit)
{
    int32_t sum = 0;
    while (*more && (r->place - 1) / layer->inputs == unit) {
        uint32_t i = (uint32_t)((r->place - 1) % layer->inputs);
        sum += sparse_value(r, layer->precision) * value_at(input, i);
        *more = r->next < r->count && sparse_next(r);
    }
    return sum;
}

INLINED void run_layer_as_compiled(const neuralbits_layer *layer, const layer_input *input,
                                   int32_t *scores, int16_t *even, int16_t *odd)
{
    sparse_reader reader = {0};
    int more = layer->sparse && sparse_start(&reader, layer) && reader.count && sparse_next(&reader);
    uint32_t unit = 0;
    while (unit < layer->units) {
        int32_t sums[ROWS_ABREAST];
        uint32_t rows = 1, row;
        if (layer->sparse)
            sums[0] = sparse_sum(&reader, &more, layer, input, unit);
        else
            rows = dense_sums(layer, input, unit, sums);
        for (row = 0; row < rows; row++, unit++) {
            int32_t sum = i32_at(layer->bias + 4 * (size_t)unit) + sums[row];
            if (layer->multiplier) {
                int32_t low = layer->relu ? 0 : -127;
                int64_t x = (int64_t)sum * i16_at(layer->multiplier + 2 * (size_t)unit);
                x = shifted(x, layer->shift);
                (unit & 1 ? odd : even)[unit >> 1] = (int16_t)(x < low ? low : x > 127 ? 127 : x);
            } else {
                scores[unit] = sum;
            }
        }
    }
}

SIMD_VERSIONS(run_layer,
            (const neuralbits_layer *layer, const layer_input *input, int32_t *scores, int16_t *even,
             int16_t *odd),
            (layer, input, scores, even, odd))

/* ---- Scratch ------------------------------------------------------------------------------------- */

/* No byte of UTF-8 becomes more than 6 code points, and none of those is in more than 7 n-grams. */
#define MAX_FEATURES(bytes) (NEURALBITS_MAX_FEATURES_PER_BYTE * (uint64_t)(bytes) + 1)

static size_t padded(size_t bytes)
{
    return (bytes + 7) & ~(size_t)7;
}

static size_t columns_of(const neuralbits_model *model)
{
    return ((size_t)model->kept + ABREAST - 1) / ABREAST * ABREAST;
}

static int lay_out(const neuralbits_model *model, size_t longest_text, scratch_layout *s)
{
    size_t columns = columns_of(model);
    uint64_t most, votes_each = (uint64_t)(model->functions / model->group_size) * model->dimensions;
    uint32_t widest = 0, i;
    if (longest_text > 0x1000000u)
        return 0;
    most = MAX_FEATURES(longest_text);
    if (most > ((uint64_t)1 << 63) / votes_each / most) /* so that the squares fit 64 bits */
        return 0;
    for (i = 0; i + 1 < model->layer_count; i++)
        if (model->layers[i].units > widest)
            widest = model->layers[i].units;
    s->planes = 0;
    s->recent_planes = s->planes + bit_length(most) * columns * sizeof(uint64_t);
    s->voters = s->recent_planes + RECENT * columns * sizeof(uint64_t);
    s->recent_voters = s->voters + columns * sizeof(uint32_t);
    s->places = s->recent_voters + columns * sizeof(uint32_t);
    s->bits = s->places + (model->pruned ? padded(model->functions * sizeof(uint32_t)) : 0);
    s->activations = s->bits + words_of(network_inputs(model)) * model->code_bits * sizeof(uint64_t);
    s->half = ((widest + 1) / 2 + 15) / 16 * 16 * sizeof(int16_t);
    s->size = s->activations + 4 * s->half;
    return 1;
}

size_t neuralbits_scratch_size(const neuralbits_model *model, size_t longest_text)
{
    scratch_layout s;
    return lay_out(model, longest_text, &s) ? s.size : 0;
}

static void number_columns(const neuralbits_model *model, uint32_t *places)
{
    const uint8_t *at = model->pruned;
    uint32_t function, column = 0;
    memset(places, 0, model->functions * sizeof *places);
    while (at < model->settings_end && *at != ']') { /* checked when the model was opened */
        uint32_t number = 0;
        for (; *at >= '0' && *at <= '9'; at++)
            number = number * 10 + (*at - '0');
        places[number] = NOWHERE;
        at += *at == ',';
    }
    for (function = 0; function < model->functions; function++)
        if (places[function] != NOWHERE)
            places[function] = column++;
}

static void start_votes(votes *v, const neuralbits_model *model, const scratch_layout *s,
                        uint8_t *scratch)
{
    memset(v, 0, sizeof *v);
    v->model = model;
    v->planes = (uint64_t *)(void *)(scratch + s->planes);
    v->recent_planes = (uint64_t *)(void *)(scratch + s->recent_planes);
    v->voters = (uint32_t *)(void *)(scratch + s->voters);
    v->recent_voters = (uint32_t *)(void *)(scratch + s->recent_voters);
    v->places = model->pruned ? (uint32_t *)(void *)(scratch + s->places) : NULL;
    v->columns = columns_of(model);
    memset(scratch, 0, s->places);
    if (v->places)
        number_columns(model, v->places);
}

/* Write the bits of a text; return how many features it has. */
static uint64_t project(const neuralbits_model *model, const char *text, size_t bytes,
                        const scratch_layout *s, uint8_t *scratch, uint64_t *bits)
{
    votes v;
    start_votes(&v, model, s, scratch);
    extract_ngrams(&v, (const uint8_t *)text, bytes);
    count(&v);
    write_bits(&v, bits);
    return v.features;
}

neuralbits_status neuralbits_project(const neuralbits_model *model, const char *text, size_t bytes,
                                     void *scratch, size_t scratch_size, uint64_t *bits,
                                     uint64_t *features)
{
    scratch_layout s;
    uint64_t extracted;
    if (!lay_out(model, bytes, &s) || s.size > scratch_size)
        return NEURALBITS_TOO_LONG;
    extracted = project(model, text, bytes, &s, scratch, bits);
    if (features)
        *features = extracted;
    return NEURALBITS_OK;
}

neuralbits_status neuralbits_project_features(const neuralbits_model *model,
                                              const uint32_t *features, size_t feature_count,
                                              void *scratch, size_t scratch_size, uint64_t *bits)
{
    votes v;
    scratch_layout s;
    size_t i;
    if (!lay_out(model, feature_count / NEURALBITS_MAX_FEATURES_PER_BYTE + 1, &s) ||
        s.size > scratch_size)
        return NEURALBITS_TOO_LONG;
    start_votes(&v, model, &s, scratch);
    for (i = 0; i < feature_count; i++)
        vote(&v, features[i]);
    count(&v);
    write_bits(&v, bits);
    return NEURALBITS_OK;
}

uint32_t neuralbits_intents(const neuralbits_model *model)
{
    return model->layers[model->layer_count - 1].units;
}

SHARED void run_network(const neuralbits_model *model, const scratch_layout *s, uint8_t *scratch,
                        const uint64_t *bits, int32_t *scores)
{
    layer_input input;
    uint32_t i, unit;
    memset(&input, 0, sizeof input);
    input.bits = bits;
    input.words = words_of(network_inputs(model));
    input.code_bits = model->code_bits;
    for (i = 0; i + 1 < model->layer_count; i++) {
        uint8_t *halves = scratch + s->activations + (i & 1 ? 2 * s->half : 0);
        int16_t *even = (int16_t *)(void *)halves, *odd = (int16_t *)(void *)(halves + s->half);
        memset(halves, 0, 2 * s->half);
        run_layer(&model->layers[i], &input, NULL, even, odd);
        input.bits = NULL;
        input.pairs = s->half / sizeof *even;
        input.even = even;
        input.odd = odd;
        input.total = 0;
        for (unit = 0; unit < model->layers[i].units; unit++)
            input.total += value_at(&input, unit);
    }
    run_layer(&model->layers[i], &input, scores, NULL, NULL);
}

neuralbits_status neuralbits_score(const neuralbits_model *model, const char *text, size_t bytes,
                                   void *scratch, size_t scratch_size, int32_t *scores,
                                   neuralbits_answer *answer)
{
    scratch_layout s;
    uint64_t *bits, features;
    uint32_t i, intents = neuralbits_intents(model), best = 0;
    int64_t margin = 0;
    if (!lay_out(model, bytes, &s) || s.size > scratch_size)
        return NEURALBITS_TOO_LONG;
    bits = (uint64_t *)(void *)((uint8_t *)scratch + s.bits);
    features = project(model, text, bytes, &s, scratch, bits);
    run_network(model, &s, scratch, bits, scores);
    for (i = 1; i < intents; i++)
        if (scores[i] > scores[best])
            best = i;
    for (i = 0; i < intents; i++)
        margin += (int64_t)scores[best] - scores[i];
    answer->intent = best;
    answer->margin = margin;
    answer->in_scope = features > 0 && margin >= model->threshold;
    return NEURALBITS_OK;
}

/* ---- Probabilities ------------------------------------------------------------------------------- */

/* e^x for x up to 0, to the last digit but one: 2^k·e^r, where r lies within ±ln 2 / 2 and e^r is the sum
 * of its series. The mathematical library's own takes one number at a time. */
INLINED double exponential(double x)
{
    static const double whole = 6755399441055744.0; /* 1.5·2^52: added, it rounds to a whole number */
    double shifted_k, k, r, sum = 1.0 / 6227020800.0;
    uint64_t bits;
    x = x < -708 ? -708 : x; /* as near to 0 as makes no difference */
    shifted_k = x * 1.4426950408889634 + whole;
    k = shifted_k - whole;
    r = x - k * 0.693147180369123816490; /* ln 2 in two parts, so that the first product is exact */
    r -= k * 1.90821492927058770002e-10;
    sum = sum * r + 1.0 / 479001600.0;
    sum = sum * r + 1.0 / 39916800.0;
    sum = sum * r + 1.0 / 3628800.0;
    sum = sum * r + 1.0 / 362880.0;
    sum = sum * r + 1.0 / 40320.0;
    sum = sum * r + 1.0 / 5040.0;
    sum = sum * r + 1.0 / 720.0;
    sum = sum * r + 1.0 / 120.0;
    sum = sum * r + 1.0 / 24.0;
    sum = sum * r + 1.0 / 6.0;
    sum = sum * r + 0.5;
    sum = sum * r + 1.0;
    sum = sum * r + 1.0;
    memcpy(&bits, &shifted_k, sizeof bits); /* its lowest bits are those of k */
    bits = (bits + 1023) << 52;
    memcpy(&r, &bits, sizeof r);
    return sum * r;
}

INLINED void probabilities_as_compiled(const neuralbits_model *model, const int32_t *scores,
                                       double *result)
{
    uint32_t i, intents = neuralbits_intents(model);
    int32_t most = scores[0];
    double total = 0;
    for (i = 1; i < intents; i++)
        most = scores[i] > most ? scores[i] : most;
    for (i = 0; i < intents; i++)
        result[i] = exponential(((double)scores[i] - most) * model->logit);
    for (i = 0; i < intents; i++)
        total += result[i];
    for (i = 0; i < intents; i++)
        result[i] /= total;
}

SIMD_VERSIONS(probabilities, (const neuralbits_model *model, const int32_t *scores, double *result),
            (model, scores, result))

void neuralbits_probabilities(const neuralbits_model *model, const int32_t *scores, double *result)
{
    probabilities(model, scores, result);
}

/* ---- Explanations (section 7) -------------------------------------------------------------------- */

/* No byte of UTF-8 becomes more than 15 bytes of tokens, a space before each character's included; the
 * others are the space behind the last token, and the NUL. */
#define MAX_TOKEN_BYTES(bytes) (15 * (size_t)(bytes) + 2)

static uint32_t write_tokens(const uint8_t *text, size_t bytes, uint8_t *tokens)
{
    character_class under_way = SPACE;
    uint32_t own[MAX_OWN], written = 0;
    size_t place = 0;
    while (place < bytes) {
        unsigned count, i;
        const uint32_t *codes = normalised(decode(text, bytes, &place), own, &count);
        for (i = 0; i < count; i++) {
            character_class class = class_of(codes[i]);
            if (class != SPACE && (class != under_way || class == SYMBOL))
                tokens[written++] = ' ';
            if (class != SPACE)
                written += (uint32_t)encode(codes[i], tokens + written);
            under_way = class;
        }
    }
    if (written)
        tokens[written++] = ' ';
    tokens[written] = 0;
    return written;
}

static int same_string(const collection *c, const neuralbits_ngram *a, const neuralbits_ngram *b)
{
    const uint8_t *tokens = c->tokens;
    uint32_t i;
    if (a->bytes != b->bytes || a->rest_bytes != b->rest_bytes)
        return 0;
    for (i = 0; i < a->bytes; i++)
        if (tokens[a->start + i] != tokens[b->start + i])
            return 0;
    for (i = 0; i < a->rest_bytes; i++)
        if (tokens[a->rest + i] != tokens[b->rest + i])
            return 0;
    return 1;
}

/* Let an n-gram vote, and count it; 0 if there are too many others. */
static int collect(collection *c, uint32_t family, uint32_t start, uint32_t bytes, uint32_t rest,
                   uint32_t rest_bytes)
{
    neuralbits_ngram made = {0, 0, 0, 0, 0, 0, 0, 1};
    murmur m = murmur_start(family);
    uint32_t slot;
    murmur_add(&m, c->tokens + start, bytes);
    murmur_add(&m, c->tokens + rest, rest_bytes);
    made.feature = murmur_end(&m);
    made.family = family;
    made.start = start;
    made.bytes = bytes;
    made.rest = rest;
    made.rest_bytes = rest_bytes;
    vote(c->votes, made.feature);
    for (slot = made.feature % SLOTS; c->slots[slot]; slot = (slot + 1) % SLOTS) {
        neuralbits_ngram *other = c->ngrams + c->slots[slot] - 1;
        if (other->feature == made.feature && other->family == family &&
            same_string(c, other, &made)) {
            other->count++;
            return 1;
        }
    }
    if (c->count == NEURALBITS_MAX_NGRAMS)
        return 0;
    c->ngrams[c->count++] = made;
    c->slots[slot] = (uint16_t)c->count;
    return 1;
}

/* Return where the token ends that begins here, or before which this is. */
static uint32_t token_end(const collection *c, uint32_t place)
{
    while (c->tokens[place] != ' ')
        place++;
    return place;
}

/* Return where the character after this one begins. */
static uint32_t after(const collection *c, uint32_t place)
{
    do
        place++;
    while ((c->tokens[place] & 0xC0) == 0x80);
    return place;
}

static int collect_words(collection *c)
{
    uint32_t start, end;
    for (start = 1; start < c->token_bytes; start = end + 1) {
        end = token_end(c, start);
        if (!collect(c, 1, start, end - start, 0, 0))
            return 0;
    }
    return 1;
}

static int collect_word_bigrams(collection *c)
{
    uint32_t before = 0, start, end; /* the first token comes after an empty one */
    for (start = 1; start < c->token_bytes; start = end + 1) {
        end = token_end(c, start);
        if (!collect(c, 2, before, end - before, 0, 0))
            return 0;
        before = start;
    }
    return !c->token_bytes || collect(c, 2, before, c->token_bytes - before, 0, 0);
}

static int collect_skip_bigrams(collection *c)
{
    uint32_t two_before = 0, before = 0, start, end; /* 0 is before the first */
    for (start = 1; start < c->token_bytes; start = end + 1) {
        end = token_end(c, start);
        if (two_before && !collect(c, 3, two_before, before - two_before, start, end - start))
            return 0;
        two_before = before;
        before = start;
    }
    return 1;
}

static int collect_characters(collection *c)
{
    uint32_t start, end, length, i;
    for (start = 0; start + 1 < c->token_bytes; start = end) { /* from its space to the next one */
        end = token_end(c, start + 1);
        for (length = MIN_NGRAM_LENGTH; length <= MAX_NGRAM_LENGTH; length++) {
            uint32_t from = start, to = start;
            for (i = 0; i < length && to <= end; i++)
                to = after(c, to);
            for (; i == length && to <= end + 1; from = after(c, from), to = after(c, to)) {
                if (!collect(c, 4, from, to - from, 0, 0))
                    return 0;
                if (to > end)
                    break;
            }
        }
    }
    return 1;
}

/* Collect the n-grams of all families, in the order of section 3; 0 if there are too many. */
static int collect_ngrams(collection *c, unsigned families)
{
    return (!(families & WORDS) || collect_words(c)) &&
           (!(families & WORD_BIGRAMS) || collect_word_bigrams(c)) &&
           (!(families & SKIP_BIGRAMS) || collect_skip_bigrams(c)) &&
           (!(families & CHARACTERS) || collect_characters(c));
}

/* Count recent votes for all functions. */
static void settle_all(votes *v)
{
    size_t column;
    for (column = 0; column < v->columns; column += ABREAST)
        settle(v, column);
}

/* What is left of all votes without some of them; both are settled. */
static void subtract(const votes *all, const votes *some, votes *left)
{
    unsigned used = bit_length(all->most), p;
    size_t column;
    for (column = 0; column < all->columns; column++) {
        uint64_t borrowed = 0;
        for (p = 0; p < used; p++) {
            size_t word = p * all->columns + column;
            uint64_t x = all->planes[word], y = some->planes[word];
            left->planes[word] = x ^ y ^ borrowed;
            borrowed = (~x & (y | borrowed)) | (y & borrowed);
        }
        left->voters[column] = all->voters[column] - some->voters[column];
    }
    left->most = all->most;
}

/* The natural logarithm of a number from 1 on: of a power of two, and of what is left by its series. */
static double logarithm(double x)
{
    double twos = 0, ratio, square, sum = 0;
    int i;
    for (; x > 1.4142135623730951; x /= 2)
        twos++;
    ratio = (x - 1) / (x + 1);
    square = ratio * ratio;
    for (i = 21; i > 0; i -= 2)
        sum = sum * square + 2.0 / i;
    return twos * 0.69314718055994531 + ratio * sum;
}

/* The log-odds of an intent, from the scores: that its probability may round to 1 does no harm. */
static double log_odds(const neuralbits_model *model, const int32_t *scores, uint32_t intent)
{
    uint32_t intents = neuralbits_intents(model), i, most = !intent;
    double total = 0;
    if (intents == 1)
        return DBL_MAX; /* whatever is left out */
    for (i = 0; i < intents; i++)
        if (i != intent && scores[i] > scores[most])
            most = i;
    for (i = 0; i < intents; i++)
        if (i != intent)
            total += exponential(((double)scores[i] - scores[most]) * model->logit);
    return ((double)scores[intent] - scores[most]) * model->logit - logarithm(total);
}

static int lay_out_explaining(const neuralbits_model *model, size_t longest_text,
                              explaining_layout *s)
{
    size_t bit_bytes, counters;
    if (!lay_out(model, longest_text, &s->scoring))
        return 0;
    counters = s->scoring.bits; /* all that lies before them */
    bit_bytes = s->scoring.activations - s->scoring.bits;
    s->all = s->scoring.size;
    s->some = s->all + counters;
    s->left = s->some + counters;
    s->bits = s->left + counters;
    s->scores = s->bits + bit_bytes;
    s->ngrams = s->scores + padded(neuralbits_intents(model) * sizeof(int32_t));
    s->slots = s->ngrams + NEURALBITS_MAX_NGRAMS * sizeof(neuralbits_ngram);
    s->tokens = s->slots + SLOTS * sizeof(uint16_t);
    s->size = s->tokens + padded(MAX_TOKEN_BYTES(longest_text));
    return 1;
}

size_t neuralbits_explain_scratch_size(const neuralbits_model *model, size_t longest_text)
{
    explaining_layout s;
    return lay_out_explaining(model, longest_text, &s) ? s.size : 0;
}

neuralbits_status neuralbits_explain(const neuralbits_model *model, const char *text, size_t bytes,
                                     void *scratch, size_t scratch_size,
                                     neuralbits_explanation *explanation)
{
    uint8_t *memory = scratch;
    explaining_layout s;
    collection c;
    votes all, some, left;
    uint64_t *bits, *bits_left;
    int32_t *scores;
    double odds;
    uint32_t i, occurrence;
    if (!lay_out_explaining(model, bytes, &s) || s.size > scratch_size)
        return NEURALBITS_TOO_LONG;
    bits = (uint64_t *)(void *)(memory + s.bits);
    bits_left = (uint64_t *)(void *)(memory + s.scoring.bits);
    scores = (int32_t *)(void *)(memory + s.scores);
    neuralbits_score(model, text, bytes, memory, s.scoring.size, scores, &explanation->answer);
    odds = log_odds(model, scores, explanation->answer.intent);

    start_votes(&all, model, &s.scoring, memory + s.all);
    start_votes(&left, model, &s.scoring, memory + s.left);
    memset(&c, 0, sizeof c);
    c.votes = &all;
    c.tokens = memory + s.tokens;
    c.ngrams = (neuralbits_ngram *)(void *)(memory + s.ngrams);
    c.slots = (uint16_t *)(void *)(memory + s.slots);
    memset(c.slots, 0, SLOTS * sizeof *c.slots);
    c.token_bytes = write_tokens((const uint8_t *)text, bytes, memory + s.tokens);
    if (!collect_ngrams(&c, model->families))
        return NEURALBITS_TOO_VARIED;
    count(&all);
    write_bits(&all, bits);

    for (i = 0; i < c.count; i++) {
        neuralbits_ngram *ngram = c.ngrams + i;
        start_votes(&some, model, &s.scoring, memory + s.some);
        for (occurrence = 0; occurrence < ngram->count; occurrence++)
            vote(&some, ngram->feature);
        count(&some);
        settle_all(&some);
        subtract(&all, &some, &left);
        write_bits(&left, bits_left);
        run_network(model, &s.scoring, memory, bits_left, scores);
        ngram->influence = odds - log_odds(model, scores, explanation->answer.intent);
    }
    explanation->bits = bits;
    explanation->tokens = (const char *)c.tokens;
    explanation->ngrams = c.ngrams;
    explanation->ngram_count = c.count;
    return NEURALBITS_OK;
}

/* ---- File (docs/artifact.md) --------------------------------------------------------------------- */

#define NONE (-1)

static int peek(const json *j)
{
    if (j->failed || j->at >= j->end)
        return NONE;
    if (!j->quoted || *j->at != '\\')
        return *j->at;
    return j->end - j->at > 1 && (j->at[1] == '"' || j->at[1] == '\\') ? j->at[1] : NONE;
}

static int next(json *j)
{
    int byte = peek(j);
    if (byte == NONE)
        j->failed = 1;
    else
        j->at += j->quoted && *j->at == '\\' ? 2 : 1;
    return byte;
}

static void expect(json *j, int byte)
{
    if (next(j) != byte)
        j->failed = 1;
}

/* Move on if this byte comes next. */
static int follows(json *j, int byte)
{
    if (peek(j) != byte)
        return 0;
    next(j);
    return 1;
}

/* Read a string of less than `size` bytes; a longer one, or one with escapes, becomes "". */
static void read_string(json *j, char *string, size_t size)
{
    size_t length = 0;
    int byte, plain = 1;
    expect(j, '"');
    while (!j->failed && (byte = next(j)) != '"') {
        if (byte == '\\') {
            plain = 0;
            next(j);
        } else if (length < size) {
            string[length] = (char)byte;
        }
        length++;
    }
    string[plain && length < size ? length : 0] = '\0';
}

static void skip_value(json *j)
{
    char unread[1];
    uint32_t depth = 0;
    do {
        int byte = peek(j);
        if (byte == '"') {
            read_string(j, unread, sizeof unread);
        } else {
            depth += byte == '{' || byte == '[';
            if ((byte == '}' || byte == ']') && !depth--) {
                j->failed = 1;
                return;
            }
            next(j);
        }
        /* A number or a word ends where a comma or a bracket comes. */
    } while (!j->failed && (depth || (peek(j) != ',' && peek(j) != '}' && peek(j) != ']')));
}

static uint64_t read_whole(json *j, uint64_t most)
{
    uint64_t number = 0;
    int digit = peek(j);
    if (digit < '0' || digit > '9')
        j->failed = 1;
    while (!j->failed && (digit = peek(j)) >= '0' && digit <= '9') {
        number = number * 10 + (uint64_t)(digit - '0');
        if (number > most)
            j->failed = 1;
        next(j);
    }
    return j->failed ? 0 : number;
}

/* Read any finite number, as near as a double's arithmetic gets; whole ones up to 2^53 exactly. */
static double read_number(json *j)
{
    double number = 0;
    int negative = follows(j, '-'), power = 0, digits = 0, byte;
    for (; (byte = peek(j)) >= '0' && byte <= '9'; digits++, next(j))
        number = number * 10 + (byte - '0');
    if (follows(j, '.'))
        for (; (byte = peek(j)) >= '0' && byte <= '9'; digits++, next(j))
            if (number < 9e15) {
                number = number * 10 + (byte - '0');
                power--;
            }
    if (follows(j, 'e')) {
        int down = follows(j, '-'), exponent;
        if (!down)
            follows(j, '+');
        exponent = (int)read_whole(j, 999);
        power += down ? -exponent : exponent;
    }
    if (!digits || digits > 400)
        j->failed = 1;
    for (; power > 0 && number < 1e300; power--)
        number *= 10;
    if (power > 0 && number > 0)
        j->failed = 1;
    if (power >= -22) { /* a power of ten that a double holds, so that rounding happens once */
        double ten = 1;
        for (; power < 0; power++)
            ten *= 10;
        number /= ten;
    }
    for (; power < 0; power++)
        number /= 10;
    return negative ? -number : number;
}

static int read_truth(json *j)
{
    const char *word = peek(j) == 't' ? "true" : "false", *at;
    for (at = word; *at; at++)
        expect(j, *at);
    return word[0] == 't';
}

/* Begin an object, and go on to its next key; 0 at its end. */
static int next_key(json *j, int *begun, char *key, size_t size)
{
    if (!*begun) {
        expect(j, '{');
        *begun = 1;
        if (follows(j, '}'))
            return 0;
    } else if (!follows(j, ',')) {
        expect(j, '}');
        return 0;
    }
    read_string(j, key, size);
    expect(j, ':');
    return !j->failed;
}

static int next_item(json *j, int *begun)
{
    if (!*begun) {
        expect(j, '[');
        *begun = 1;
        return !follows(j, ']') && !j->failed;
    }
    if (follows(j, ','))
        return !j->failed;
    expect(j, ']');
    return 0;
}

#define KEY 48

static void read_tensor(json *j, tensor *t)
{
    static const struct {
        const char *name;
        tensor_type type;
    } types[] = {{"U8", U8}, {"I8", I8}, {"I16", I16}, {"I32", I32}, {"F32", F32}};
    char key[KEY], type[8];
    int begun = 0, inner;
    size_t i;
    memset(t, 0, sizeof *t);
    while (next_key(j, &begun, key, sizeof key)) {
        inner = 0;
        if (!strcmp(key, "dtype")) {
            read_string(j, type, sizeof type);
            for (i = 0; i < COUNT(types); i++)
                if (!strcmp(type, types[i].name))
                    t->type = types[i].type;
        } else if (!strcmp(key, "shape")) {
            for (t->dimensions = 0; next_item(j, &inner); t->dimensions++) {
                uint64_t size = read_whole(j, 0xFFFFFFFFu);
                if (t->dimensions == COUNT(t->shape)) {
                    j->failed = 1;
                    return;
                }
                t->shape[t->dimensions] = size;
            }
        } else if (!strcmp(key, "data_offsets")) {
            expect(j, '[');
            t->begin = read_whole(j, (uint64_t)1 << 40);
            expect(j, ',');
            t->end = read_whole(j, (uint64_t)1 << 40);
            expect(j, ']');
        } else {
            skip_value(j);
        }
    }
}

static void read_metadata(json *j, tensor_table *table)
{
    char key[KEY];
    int begun = 0;
    while (next_key(j, &begun, key, sizeof key)) {
        if (!strcmp(key, "neuralbits") && peek(j) == '"') {
            table->settings = *j;
            table->settings.at++;
            table->settings.quoted = 1;
            skip_value(j);
            table->settings.end = j->at - 1;
        } else {
            skip_value(j);
        }
    }
}

static void read_header(json *j, tensor_table *table)
{
    char key[KEY];
    int begun = 0;
    while (next_key(j, &begun, key, sizeof key)) {
        tensor *t = NULL;
        if (!strcmp(key, "__metadata__")) {
            read_metadata(j, table);
            continue;
        }
        if (!strcmp(key, "labels")) {
            t = &table->labels;
        } else if (!strncmp(key, "layers.", 7) && key[7] >= '0' && key[7] <= '9') {
            unsigned layer = (unsigned)(key[7] - '0');
            if (key[8] != '.' || layer >= NEURALBITS_MAX_LAYERS) {
                table->beyond = 1;
            } else if (!strcmp(key + 9, "weights")) {
                t = &table->layers[layer].weights;
            } else if (!strcmp(key + 9, "bias")) {
                t = &table->layers[layer].bias;
            } else if (!strcmp(key + 9, "multiplier")) {
                t = &table->layers[layer].multiplier;
            }
        }
        if (t)
            read_tensor(j, t);
        else
            skip_value(j);
    }
}

/* Return where a tensor's bytes lie; NULL unless it is of this type and shape, and within the file. */
static const uint8_t *content_of(const tensor_table *table, const tensor *t, tensor_type type,
                                 unsigned dimensions, uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t item = type == I32 || type == F32 ? 4 : type == I16 ? 2 : 1;
    if (t->type != type || t->dimensions != dimensions || t->shape[0] != a || t->shape[1] != b ||
        t->shape[2] != c || t->begin > t->end || t->end > table->size)
        return NULL;
    b = dimensions > 1 ? b : 1; /* none of them is beyond 2^32: see where they come from */
    c = dimensions > 2 ? c : 1;
    if (a && b && (a * b > table->size || a * b * c > table->size))
        return NULL;
    return t->end - t->begin == a * b * c * item ? table->content + t->begin : NULL;
}

/* What the settings say of a layer. */
static int read_layer(json *j, neuralbits_layer *layer)
{
    static const char *const precisions[] = {"binary", "ternary", "int4", "int8"};
    char key[KEY], word[16];
    int begun = 0, supported = 0;
    size_t i;
    while (next_key(j, &begun, key, sizeof key)) {
        if (!strcmp(key, "inputs")) {
            layer->inputs = (uint32_t)read_whole(j, 1u << 24);
        } else if (!strcmp(key, "units")) {
            layer->units = (uint32_t)read_whole(j, 1u << 24);
        } else if (!strcmp(key, "shift")) {
            layer->shift = (uint8_t)read_whole(j, 30);
        } else if (!strcmp(key, "activation")) {
            read_string(j, word, sizeof word);
            layer->relu = !strcmp(word, "relu");
            if (!layer->relu && strcmp(word, "linear"))
                j->failed = 1;
        } else if (!strcmp(key, "precision")) {
            read_string(j, word, sizeof word);
            for (i = 0; i < COUNT(precisions); i++)
                if (!strcmp(word, precisions[i])) {
                    layer->precision = (neuralbits_precision)i;
                    supported = 1;
                }
        } else {
            skip_value(j);
        }
    }
    return supported;
}

static void read_pruned(json *j, neuralbits_model *model, uint32_t *pruned)
{
    int begun = 0;
    uint64_t least = 0;
    for (*pruned = 0; next_item(j, &begun); ++*pruned) {
        const uint8_t *at = j->at;
        uint64_t function = read_whole(j, 65535);
        if (function < least) /* they rise, so none is named twice */
            j->failed = 1;
        least = function + 1;
        if (!*pruned)
            model->pruned = at;
        model->functions = model->functions > least ? model->functions : (uint32_t)least;
    }
}

static void read_projection(json *j, neuralbits_model *model, uint32_t *pruned, uint32_t *functions)
{
    static const char *const families[] = {"words", "word_bigrams", "skip_bigrams", "characters"};
    char key[KEY], family[16];
    int begun = 0, inner;
    size_t i;
    while (next_key(j, &begun, key, sizeof key)) {
        inner = 0;
        if (!strcmp(key, "functions")) {
            *functions = (uint32_t)read_whole(j, 65536);
        } else if (!strcmp(key, "dimensions")) {
            model->dimensions = (uint32_t)read_whole(j, 64);
        } else if (!strcmp(key, "code_bits")) {
            model->code_bits = (uint32_t)read_whole(j, 2);
        } else if (!strcmp(key, "stride")) {
            model->group_size = (uint32_t)read_whole(j, 64);
        } else if (!strcmp(key, "blocks")) {
            model->blocks = (uint8_t)read_truth(j);
        } else if (!strcmp(key, "removed")) {
            read_pruned(j, model, pruned);
        } else if (!strcmp(key, "families")) {
            while (next_item(j, &inner)) {
                unsigned before = model->families;
                read_string(j, family, sizeof family);
                for (i = 0; i < COUNT(families); i++)
                    if (!strcmp(family, families[i]) && !(before >> i & 1))
                        model->families |= (uint8_t)(1u << i);
                if (model->families == before)
                    j->failed = 1;
            }
        } else {
            skip_value(j);
        }
    }
}

static neuralbits_status check_projection(neuralbits_model *model, uint32_t pruned,
                                          uint32_t functions)
{
    uint64_t inputs;
    if (model->functions > functions || !functions || pruned >= functions)
        return NEURALBITS_MALFORMED;
    model->functions = functions;
    model->kept = functions - pruned;
    if (!model->dimensions || !model->code_bits || !model->group_size || !model->families ||
        model->group_size & (model->group_size - 1) || functions % model->group_size)
        return NEURALBITS_MALFORMED;
    if (model->blocks && (model->dimensions > 8 || model->code_bits > 1))
        return NEURALBITS_MALFORMED;
    inputs = (uint64_t)functions *
             (model->blocks ? (uint64_t)1 << model->dimensions : model->dimensions);
    return inputs <= 65536 ? NEURALBITS_OK : NEURALBITS_MALFORMED;
}

/* Is every sum that a layer can have within 32 bits? */
static int sums_fit(const neuralbits_layer *layer, int64_t largest_input)
{
    sparse_reader reader = {0};
    uint32_t unit, i;
    int more = 0;
    if (layer->sparse) {
        if (!sparse_start(&reader, layer))
            return 0;
        more = reader.count && sparse_next(&reader);
        if (reader.count && !more)
            return 0;
    }
    for (unit = 0; unit < layer->units; unit++) {
        int64_t sum = i32_at(layer->bias + 4 * (size_t)unit), size = 0;
        if (!layer->sparse && value_bits(layer->precision) == 1)
            size = layer->inputs;
        for (i = 0; !layer->sparse && value_bits(layer->precision) > 1 && i < layer->inputs; i++) {
            int32_t w = weight_at(row_of(layer, unit), layer->precision, i);
            size += w < 0 ? -w : w;
        }
        while (more && (reader.place - 1) / layer->inputs == unit) {
            int32_t w = sparse_value(&reader, layer->precision);
            size += w < 0 ? -w : w;
            more = reader.next < reader.count;
            if (more && !sparse_next(&reader))
                return 0;
        }
        sum = (sum < 0 ? -sum : sum) + size * largest_input;
        if (sum > INT32_MAX)
            return 0;
    }
    return !more; /* no weight beyond the last unit */
}

static neuralbits_status check_layer(const tensor_table *table, neuralbits_layer *layer,
                                     const layer_tensors *tensors, int last, int64_t largest_input)
{
    uint64_t units = layer->units, inputs = layer->inputs;
    const tensor *w = &tensors->weights;
    if (!units || !inputs)
        return NEURALBITS_MALFORMED;
    layer->sparse = w->dimensions == 1;
    if (layer->sparse) {
        if (layer->precision == NEURALBITS_BINARY || units * inputs > 1u << 22)
            return NEURALBITS_MALFORMED;
        layer->weights = content_of(table, w, U8, 1, w->shape[0], 0, 0);
    } else if (layer->precision == NEURALBITS_BINARY) {
        layer->weights = content_of(table, w, U8, 2, units, (inputs + 7) / 8, 0);
    } else if (layer->precision == NEURALBITS_TERNARY) {
        layer->weights = content_of(table, w, U8, 3, 2, units, (inputs + 7) / 8);
    } else if (layer->precision == NEURALBITS_INT4) {
        layer->weights = content_of(table, w, U8, 2, units, (inputs + 1) / 2, 0);
    } else {
        layer->weights = content_of(table, w, I8, 2, units, inputs, 0);
    }
    layer->bias = content_of(table, &tensors->bias, I32, 1, units, 0, 0);
    if (!layer->weights || !layer->bias || w->end - w->begin > 0xFFFFFFFFu)
        return NEURALBITS_MALFORMED;
    layer->weight_bytes = (uint32_t)(w->end - w->begin);
    if (last) {
        if (tensors->multiplier.dimensions || layer->shift || layer->relu)
            return NEURALBITS_MALFORMED;
    } else {
        layer->multiplier = content_of(table, &tensors->multiplier, I16, 1, units, 0, 0);
        if (!layer->multiplier)
            return NEURALBITS_MALFORMED;
    }
    return sums_fit(layer, largest_input) ? NEURALBITS_OK : NEURALBITS_MALFORMED;
}

neuralbits_status neuralbits_open_projection(neuralbits_model *model, const void *settings,
                                             size_t size)
{
    json j;
    uint32_t pruned = 0, functions = 0;
    memset(model, 0, sizeof *model);
    memset(&j, 0, sizeof j);
    j.at = settings;
    j.end = model->settings_end = j.at + size;
    read_projection(&j, model, &pruned, &functions);
    return j.failed ? NEURALBITS_MALFORMED : check_projection(model, pruned, functions);
}

neuralbits_status neuralbits_open(neuralbits_model *model, const void *file, size_t size)
{
    const uint8_t *bytes = file;
    tensor_table table;
    json header;
    char key[KEY];
    uint64_t header_bytes;
    double scale = 0, temperature = 0, threshold = 0;
    uint32_t pruned = 0, functions = 0, reads, i;
    int begun = 0, layers_begun = 0, network_begun = 0, supported = 1, version = 0, thresholds = 0;
    neuralbits_status status;

    memset(model, 0, sizeof *model);
    memset(&table, 0, sizeof table);
    if (size < 8)
        return NEURALBITS_FOREIGN;
    header_bytes = word_at(bytes);
    if (header_bytes > size - 8)
        return NEURALBITS_FOREIGN;
    header.at = bytes + 8;
    header.end = header.at + header_bytes;
    header.quoted = header.failed = 0;
    table.content = header.end;
    table.size = size - 8 - header_bytes;
    read_header(&header, &table);
    if (header.failed || !table.settings.at)
        return NEURALBITS_FOREIGN;

    model->settings_end = table.settings.end;
    while (next_key(&table.settings, &begun, key, sizeof key)) {
        json *j = &table.settings;
        if (!strcmp(key, "format_version")) {
            version = (int)read_whole(j, 1u << 20);
        } else if (!strcmp(key, "temperature")) {
            temperature = read_number(j);
        } else if (!strcmp(key, "threshold")) {
            threshold = read_number(j);
            thresholds++;
        } else if (!strcmp(key, "projection")) {
            read_projection(j, model, &pruned, &functions);
        } else if (!strcmp(key, "network")) {
            while (next_key(j, &network_begun, key, sizeof key)) {
                if (!strcmp(key, "scale")) {
                    scale = read_number(j);
                } else if (!strcmp(key, "layers")) {
                    while (next_item(j, &layers_begun)) {
                        if (model->layer_count == NEURALBITS_MAX_LAYERS)
                            return NEURALBITS_UNSUPPORTED;
                        supported &= read_layer(j, &model->layers[model->layer_count++]);
                    }
                } else {
                    skip_value(j);
                }
            }
        } else {
            skip_value(j);
        }
    }
    if (version > 1)
        return NEURALBITS_NEWER;
    if (table.settings.failed || version != 1 || thresholds != 1 || !(scale > 0) ||
        !(temperature > 0) || !model->layer_count)
        return NEURALBITS_MALFORMED;
    if (!supported || table.beyond)
        return NEURALBITS_UNSUPPORTED;
    status = check_projection(model, pruned, functions);
    reads = status == NEURALBITS_OK ? network_inputs(model) : 0;
    for (i = 0; i < model->layer_count && status == NEURALBITS_OK; i++) {
        neuralbits_layer *layer = &model->layers[i];
        if (layer->inputs != reads)
            return NEURALBITS_MALFORMED;
        status = check_layer(&table, layer, &table.layers[i], i + 1 == model->layer_count,
                             i ? 127 : model->code_bits == 2 ? 3 : 1);
        reads = layer->units;
    }
    if (status != NEURALBITS_OK)
        return status;
    model->labels = content_of(&table, &table.labels, U8, 1, table.labels.shape[0], 0, 0);
    if (!model->labels || table.labels.shape[0] > 0xFFFFFFFFu)
        return NEURALBITS_MALFORMED;
    model->label_bytes = (uint32_t)table.labels.shape[0];
    model->logit = scale / temperature;
    if (!(model->logit * 4294967296.0 <= DBL_MAX)) /* any distance of scores, as a logit */
        return NEURALBITS_MALFORMED;
    if (threshold > 9e18 || threshold < -9e18)
        return NEURALBITS_MALFORMED;
    model->threshold = (int64_t)threshold;
    model->threshold += (double)model->threshold < threshold; /* margins are whole: round up */
    return NEURALBITS_OK;
}

const char *neuralbits_status_text(neuralbits_status status)
{
    switch (status) {
    case NEURALBITS_OK:
        return "no error";
    case NEURALBITS_FOREIGN:
        return "the file is no artifact of neuralbits";
    case NEURALBITS_NEWER:
        return "the artifact has a later format; update neuralbits";
    case NEURALBITS_MALFORMED:
        return "the artifact is truncated or damaged; copy it again";
    case NEURALBITS_UNSUPPORTED:
        return "the artifact has float weights or more than 4 layers, which the kernel does not support";
    case NEURALBITS_TOO_LONG:
        return "the text is too long for the scratch buffer";
    case NEURALBITS_TOO_VARIED:
        return "the text has more than 2048 distinct n-grams, too many to explain";
    }
    return "unknown status";
}
