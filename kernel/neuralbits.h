/* neuralbits: text in, intent out, from an artifact that is read where it lies.
 *
 * C99 and nothing else: no allocation, no globals, no recursion, no I/O, no locale, and whole numbers up
 * to the scores. All state is the caller's, so that any number of threads may share a model.
 * docs/projection.md specifies every bit of it, docs/artifact.md the file. */

#ifndef NEURALBITS_H
#define NEURALBITS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NEURALBITS_MOST_LAYERS 4
#define NEURALBITS_FEATURES_PER_BYTE 42 /* no text has more */
#define NEURALBITS_MOST_NGRAMS 2048     /* different ones of a text that is explained */

typedef enum {
    NEURALBITS_OK = 0,
    NEURALBITS_FOREIGN,     /* not a safetensors file, or not one of neuralbits */
    NEURALBITS_NEWER,       /* of a format that this kernel doesn't know */
    NEURALBITS_MALFORMED,   /* truncated, or an offset, length, shape or number that can't be */
    NEURALBITS_UNSUPPORTED, /* sound, but with float weights or more layers than the kernel has */
    NEURALBITS_TOO_LONG,    /* the text has more bytes than the scratch buffer was made for */
    NEURALBITS_TOO_VARIED   /* the text has more than NEURALBITS_MOST_NGRAMS different n-grams */
} neuralbits_status;

typedef enum {
    NEURALBITS_BINARY,
    NEURALBITS_TERNARY,
    NEURALBITS_INT4,
    NEURALBITS_INT8
} neuralbits_precision;

typedef struct {
    const uint8_t *weights; /* as docs/artifact.md lays them out */
    const uint8_t *bias;    /* int32, little-endian, not aligned */
    const uint8_t *multiplier; /* int16 likewise; NULL in the last layer */
    uint32_t weight_bytes;
    uint32_t inputs;
    uint32_t units;
    neuralbits_precision precision;
    uint8_t sparse;
    uint8_t shift;
    uint8_t relu;
} neuralbits_layer;

/* What neuralbits_open found. It points into the file, and owns nothing. */
typedef struct {
    const uint8_t *labels; /* a JSON list, compressed by zlib */
    uint32_t label_bytes;
    const uint8_t *removed; /* the list in the settings, after its bracket; NULL if it is empty */
    const uint8_t *settings_end;
    uint32_t functions; /* those removed included */
    uint32_t kept;
    uint32_t dimensions;
    uint32_t stride;
    uint32_t code_bits;
    uint8_t families; /* bit i for the family of hash seed i + 1 */
    uint8_t blocks;
    uint32_t layer_count;
    neuralbits_layer layers[NEURALBITS_MOST_LAYERS];
    int64_t threshold; /* the least lead of an answer in scope */
    double logit;      /* what a score of 1 is as a logit, divided by the temperature */
} neuralbits_model;

typedef struct {
    uint32_t intent; /* its place among the labels: the greatest score, the first of equals */
    int64_t lead;    /* the sum of that score's distances to all scores */
    int in_scope;
} neuralbits_answer;

/* An n-gram that a text has, and what it did for the answer. */
typedef struct {
    double influence;          /* by how much the answer's log-odds fall without it */
    uint32_t family;           /* its hash seed: 1 words, 2 word_bigrams, 3 skip_bigrams, 4 characters */
    uint32_t start, bytes;     /* its string, within the explanation's tokens, */
    uint32_t rest, rest_bytes; /* and what comes after that: of skip_bigrams, the second word */
    uint32_t feature;          /* its hash */
    uint32_t count;            /* how often it occurs */
} neuralbits_ngram;

/* It points into the scratch buffer. */
typedef struct {
    neuralbits_answer answer;
    const uint64_t *bits; /* as neuralbits_project gives them */
    const char *tokens;   /* normalised; each has a space before it, and the last one behind it */
    const neuralbits_ngram *ngrams; /* each that the text has, once, as docs/projection.md orders them */
    uint32_t ngram_count;
} neuralbits_explanation;

/* Read a file that lies in memory, and will as long as the model is used. */
neuralbits_status neuralbits_open(neuralbits_model *model, const void *file, size_t size);

/* Read a projection's settings alone, a JSON object as in the file, to project without a network. */
neuralbits_status neuralbits_open_projection(neuralbits_model *model, const void *settings,
                                             size_t size);

/* Return the number of intents. */
uint32_t neuralbits_intents(const neuralbits_model *model);

/* Return how many bytes of scratch, aligned to 8, classifying takes for texts of up to so many bytes;
 * 0 if there can be no such buffer. */
size_t neuralbits_scratch_size(const neuralbits_model *model, size_t longest_text);

/* Project a text: ⌈inputs/64⌉ words of first bits, then, of two bits a sum, as many of second ones,
 * the lowest bit of a word first. `features`, if not NULL, receives how many there were. */
neuralbits_status neuralbits_project(const neuralbits_model *model, const char *text, size_t bytes,
                                     void *scratch, size_t scratch_size, uint64_t *bits,
                                     uint64_t *features);

/* Project features that were observed elsewhere, as training does, which leaves some of a text's out. The
 * scratch buffer is to do for a text of features / NEURALBITS_FEATURES_PER_BYTE + 1 bytes. */
neuralbits_status neuralbits_project_features(const neuralbits_model *model,
                                              const uint32_t *features, size_t count_of_features,
                                              void *scratch, size_t scratch_size, uint64_t *bits);

/* Score every intent: neuralbits_intents(model) numbers. The text is UTF-8; each longest part that can't
 * become a character, and each surrogate, counts as U+FFFD. */
neuralbits_status neuralbits_score(const neuralbits_model *model, const char *text, size_t bytes,
                                   void *scratch, size_t scratch_size, int32_t *scores,
                                   neuralbits_answer *answer);

/* Turn scores into calibrated probabilities. It needs floating point, as neuralbits_explain alone does, too. */
void neuralbits_probabilities(const neuralbits_model *model, const int32_t *scores, double *result);

/* Return how many bytes of scratch, aligned to 8, explaining takes for texts of up to so many bytes; 0 if there
 * can be no such buffer. */
size_t neuralbits_explain_scratch_size(const neuralbits_model *model, size_t longest_text);

/* Answer a text, and tell by how much the answer's log-odds, ln p/(1 - p), fall as each of its n-grams is left
 * out: it is scored once more for every one. Where there is one intent alone, nothing has an influence. */
neuralbits_status neuralbits_explain(const neuralbits_model *model, const char *text, size_t bytes,
                                     void *scratch, size_t scratch_size,
                                     neuralbits_explanation *explanation);

#ifdef __cplusplus
}
#endif

#endif
