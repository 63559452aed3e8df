/* neuralbits: classify a text by an artifact that is read in place.
 *
 * C99 only: no allocation, no globals, no recursion, no I/O, no locale, and whole numbers up to the scores.
 * The caller owns all state, so any number of threads may share a model. docs/projection.md specifies every
 * bit, docs/artifact.md the file.
 *
 *     static uint64_t scratch[2048]; // at least neuralbits_scratch_size(&model, 255) bytes
 *     static int32_t scores[INTENTS]; // neuralbits_intents(&model) of them
 *     neuralbits_model model;
 *     neuralbits_answer answer;
 *     neuralbits_status status = neuralbits_open(&model, file, file_size);
 *     if (status == NEURALBITS_OK)
 *         status = neuralbits_score(&model, text, strlen(text), scratch, sizeof scratch, scores, &answer);
 *     if (status != NEURALBITS_OK)
 *         puts(neuralbits_status_text(status));
 *     else if (answer.in_scope)
 *         puts(labels[answer.intent]);
 */

#ifndef NEURALBITS_H
#define NEURALBITS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NEURALBITS_VERSION "0.1.0"
#define NEURALBITS_FORMAT_VERSION 1 /* of the artifacts that neuralbits_open reads */

#define NEURALBITS_MAX_LAYERS 4
#define NEURALBITS_MAX_NGRAMS 2048          /* distinct ones of a text that is explained */
#define NEURALBITS_MAX_FEATURES_PER_BYTE 42 /* of a text's UTF-8 */

/* ---- Types --------------------------------------------------------------------------------------- */

typedef enum {
    NEURALBITS_OK = 0,
    NEURALBITS_FOREIGN,     /* not a safetensors file, or not one of neuralbits */
    NEURALBITS_NEWER,       /* a later format than NEURALBITS_FORMAT_VERSION */
    NEURALBITS_MALFORMED,   /* truncated, or with an impossible offset, length, shape or number */
    NEURALBITS_UNSUPPORTED, /* valid, but with float weights or more than NEURALBITS_MAX_LAYERS layers */
    NEURALBITS_TOO_LONG,    /* the scratch buffer is too small for the text */
    NEURALBITS_TOO_VARIED   /* the text has more than NEURALBITS_MAX_NGRAMS distinct n-grams */
} neuralbits_status;

typedef enum {
    NEURALBITS_BINARY,
    NEURALBITS_TERNARY,
    NEURALBITS_INT4,
    NEURALBITS_INT8
} neuralbits_precision;

/* A layer: units × inputs weights. */
typedef struct {
    const uint8_t *weights;    /* packed as docs/artifact.md says */
    const uint8_t *bias;       /* (units,) int32, little-endian, not aligned */
    const uint8_t *multiplier; /* (units,) int16 likewise; NULL in the last layer */
    uint32_t weight_bytes;
    uint32_t inputs;
    uint32_t units;
    neuralbits_precision precision;
    uint8_t sparse; /* only the weights other than 0 are stored */
    uint8_t shift;  /* an activation is sum · multiplier / 2^shift */
    uint8_t relu;   /* or linear */
} neuralbits_layer;

/* An open artifact. It points into the file and owns nothing. */
typedef struct {
    const uint8_t *labels; /* a JSON list, compressed by zlib */
    uint32_t label_bytes;
    const uint8_t *pruned; /* the JSON list `removed` of the settings, after its bracket; NULL if empty */
    const uint8_t *settings_end;
    uint32_t functions;  /* T, pruned ones included */
    uint32_t kept;       /* functions that are not pruned */
    uint32_t dimensions; /* d, of each function: 1 to 64 */
    uint32_t group_size; /* functions in a group, of which a feature takes part in one */
    uint32_t code_bits;  /* 1 or 2 for each of the kept · d sums */
    uint8_t families;    /* bit i for the n-gram family with the hash seed i + 1 */
    uint8_t blocks;      /* the d bits of a function select one of 2^d inputs */
    uint32_t layer_count;
    neuralbits_layer layers[NEURALBITS_MAX_LAYERS];
    int64_t threshold; /* the least margin of an answer in scope */
    double logit;      /* what a score of 1 is as a logit, divided by the temperature */
} neuralbits_model;

typedef struct {
    uint32_t intent; /* index of the greatest score, the first of equals */
    int64_t margin;  /* the sum of that score's distances to all scores */
    int in_scope;    /* the margin reaches the threshold, and the text has a token */
} neuralbits_answer;

/* A distinct n-gram of a text, and what it contributed to the answer. */
typedef struct {
    double influence;          /* by how much the answer's log-odds fall without it */
    uint32_t family;           /* its hash seed: 1 words, 2 word_bigrams, 3 skip_bigrams, 4 characters */
    uint32_t start, bytes;     /* its string, within the explanation's tokens, */
    uint32_t rest, rest_bytes; /* and what follows: the second word of a skip-bigram */
    uint32_t feature;          /* its hash */
    uint32_t count;            /* how often it occurs */
} neuralbits_ngram;

/* An explanation. It points into the scratch buffer. */
typedef struct {
    neuralbits_answer answer;
    const uint64_t *bits;           /* as neuralbits_project writes them */
    const char *tokens;             /* normalised; a space before each, and one after the last */
    const neuralbits_ngram *ngrams; /* (ngram_count,), in the order of docs/projection.md */
    uint32_t ngram_count;
} neuralbits_explanation;

/* ---- Opening ------------------------------------------------------------------------------------- */

/* Open an artifact, `size` bytes that stay in memory unchanged while the model is used. */
neuralbits_status neuralbits_open(neuralbits_model *model, const void *file, size_t size);

/* Open the settings of a projection alone, a JSON object as in the file, to project without a network. */
neuralbits_status neuralbits_open_projection(neuralbits_model *model, const void *settings,
                                             size_t size);

/* Return the number of intents. */
uint32_t neuralbits_intents(const neuralbits_model *model);

/* Return a sentence about a status, for people. */
const char *neuralbits_status_text(neuralbits_status status);

/* ---- Classifying --------------------------------------------------------------------------------- */

/* Return how many bytes of scratch, aligned to 8, a text of at most `longest_text` bytes needs; 0 if no
 * buffer is large enough. */
size_t neuralbits_scratch_size(const neuralbits_model *model, size_t longest_text);

/* Score every intent: neuralbits_intents(model) scores. The text is UTF-8; each maximal part that is no
 * character, and each surrogate, counts as U+FFFD. */
neuralbits_status neuralbits_score(const neuralbits_model *model, const char *text, size_t bytes,
                                   void *scratch, size_t scratch_size, int32_t *scores,
                                   neuralbits_answer *answer);

/* Turn scores into calibrated probabilities. This function and neuralbits_explain use floating point. */
void neuralbits_probabilities(const neuralbits_model *model, const int32_t *scores, double *result);

/* ---- Explaining ---------------------------------------------------------------------------------- */

/* Return how many bytes of scratch, aligned to 8, explaining a text of at most `longest_text` bytes needs;
 * 0 if no buffer is large enough. */
size_t neuralbits_explain_scratch_size(const neuralbits_model *model, size_t longest_text);

/* Classify a text, and say by how much the answer's log-odds, ln p/(1 - p), fall without each of its n-grams;
 * the text is scored once more for each. With a single intent, no n-gram has an influence. */
neuralbits_status neuralbits_explain(const neuralbits_model *model, const char *text, size_t bytes,
                                     void *scratch, size_t scratch_size,
                                     neuralbits_explanation *explanation);

/* ---- Projecting ---------------------------------------------------------------------------------- */

/* Project a text: ⌈inputs/64⌉ words of first bits, then, if code_bits is 2, as many of second bits, the
 * lowest bit of a word first. `features`, if not NULL, receives the number of features. */
neuralbits_status neuralbits_project(const neuralbits_model *model, const char *text, size_t bytes,
                                     void *scratch, size_t scratch_size, uint64_t *bits,
                                     uint64_t *features);

/* Project extracted features, as training does with a part of a text's. The scratch buffer is that of a text of
 * feature_count / NEURALBITS_MAX_FEATURES_PER_BYTE + 1 bytes. */
neuralbits_status neuralbits_project_features(const neuralbits_model *model,
                                              const uint32_t *features, size_t feature_count,
                                              void *scratch, size_t scratch_size, uint64_t *bits);

#ifdef __cplusplus
}
#endif

#endif
