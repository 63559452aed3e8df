/* The kernel as a WebAssembly module. `open` takes its one model; all memory from __heap_base on belongs to
 * the loader. tools/make_kernel_wasm.py compiles it. */

#include <string.h>

#include "../neuralbits.h"

#define EXPORTED(name) __attribute__((export_name(#name)))

static neuralbits_model model;

EXPORTED(open) neuralbits_status open_model(const void *file, size_t size)
{
    return neuralbits_open(&model, file, size);
}

EXPORTED(intents) uint32_t intents(void)
{
    return neuralbits_intents(&model);
}

EXPORTED(scratch_size) size_t scratch_size(size_t longest_text)
{
    return neuralbits_scratch_size(&model, longest_text);
}

/* Return whether the text is in scope; scratch_size gives the size of its scratch buffer. */
EXPORTED(classify) int classify(const char *text, size_t bytes, void *scratch, int32_t *scores,
                                double *probabilities)
{
    neuralbits_answer answer = {0, 0, 0};
    neuralbits_score(&model, text, bytes, scratch, neuralbits_scratch_size(&model, bytes), scores,
                     &answer);
    neuralbits_probabilities(&model, scores, probabilities);
    return answer.in_scope;
}

/* An explanation as the loader reads it: consecutive 32-bit numbers. */
typedef struct {
    const uint64_t *bits;
    const char *tokens;
    const neuralbits_ngram *ngrams;
    uint32_t ngram_count, functions, dimensions, code_bits;
} explained;

/* The loader reads an n-gram as a double and 32-bit numbers. */
typedef char ngrams_have_40_bytes[sizeof(neuralbits_ngram) == 40 ? 1 : -1];

EXPORTED(max_ngrams) uint32_t max_ngrams(void)
{
    return NEURALBITS_MAX_NGRAMS;
}

EXPORTED(explain_scratch_size) size_t explain_scratch_size(size_t longest_text)
{
    return neuralbits_explain_scratch_size(&model, longest_text);
}

/* Return NULL if the text has too many n-grams; explain_scratch_size gives the size of its scratch buffer. */
EXPORTED(explain) const explained *explain(const char *text, size_t bytes, void *scratch)
{
    static explained result;
    neuralbits_explanation found;
    size_t size = neuralbits_explain_scratch_size(&model, bytes);
    if (neuralbits_explain(&model, text, bytes, scratch, size, &found) != NEURALBITS_OK)
        return NULL;
    result.bits = found.bits;
    result.tokens = found.tokens;
    result.ngrams = found.ngrams;
    result.ngram_count = found.ngram_count;
    result.functions = model.kept;
    result.dimensions = model.blocks ? 1u << model.dimensions : model.dimensions;
    result.code_bits = model.code_bits;
    return &result;
}

/* ---- string.h: the first three become instructions of WebAssembly -------------------------------- */

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
    return __builtin_memcpy(to, from, bytes);
}

void *memmove(void *to, const void *from, size_t bytes)
{
    return __builtin_memmove(to, from, bytes);
}

void *memset(void *to, int byte, size_t bytes)
{
    return __builtin_memset(to, byte, bytes);
}

int strncmp(const char *a, const char *b, size_t most)
{
    for (; most && *a && *a == *b; most--, a++, b++)
        ;
    return most ? (unsigned char)*a - (unsigned char)*b : 0;
}

int strcmp(const char *a, const char *b)
{
    return strncmp(a, b, (size_t)-1);
}
