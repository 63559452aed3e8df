/* The kernel as a module of WebAssembly, without a model: `open` is given one. It has the one model, and
 * leaves all memory from __heap_base on to whoever loads it. tools/make_kernel_wasm.py compiles it. */

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

/* Return whether the text is in scope; its scratch buffer is as large as has to be. */
EXPORTED(classify) int classify(const char *text, size_t bytes, void *scratch, int32_t *scores,
                                double *probabilities)
{
    neuralbits_answer answer = {0, 0, 0};
    neuralbits_score(&model, text, bytes, scratch, neuralbits_scratch_size(&model, bytes), scores,
                     &answer);
    neuralbits_probabilities(&model, scores, probabilities);
    return answer.in_scope;
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
