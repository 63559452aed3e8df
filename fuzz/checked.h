/* Properties of every answer, for any file and any text; both fuzz targets check them. Every buffer has
 * exactly the required length, so that a sanitizer detects any access beyond it. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../kernel/neuralbits.h"

#define CHECK(condition)                                                                            \
    do {                                                                                            \
        if (!(condition)) {                                                                         \
            fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #condition);       \
            abort();                                                                                \
        }                                                                                           \
    } while (0)

typedef struct {
    uint64_t features;
    uint64_t *bits;
    size_t bit_bytes;
    int32_t *scores;
    size_t score_bytes;
    neuralbits_answer answer;
} answered;

static void *allocated(size_t bytes)
{
    void *memory = malloc(bytes);
    CHECK(memory);
    return memory;
}

static void forget(answered *a)
{
    free(a->bits);
    free(a->scores);
}

static void check_probabilities(const neuralbits_model *model, const answered *a)
{
    uint32_t intents = neuralbits_intents(model), i;
    double *probabilities = allocated(intents * sizeof *probabilities), total = 0;
    neuralbits_probabilities(model, a->scores, probabilities);
    for (i = 0; i < intents; i++) {
        CHECK(probabilities[i] >= 0 && probabilities[i] <= probabilities[a->answer.intent]);
        total += probabilities[i];
    }
    CHECK(fabs(total - 1) < 1e-9);
    free(probabilities);
}

static void check_answer(const neuralbits_model *model, const answered *a)
{
    uint32_t intents = neuralbits_intents(model), i;
    int64_t margin = 0;
    CHECK(a->answer.intent < intents);
    for (i = 0; i < intents; i++) {
        int64_t distance = (int64_t)a->scores[a->answer.intent] - a->scores[i];
        CHECK(i < a->answer.intent ? distance > 0 : distance >= 0); /* the first of equals */
        margin += distance;
    }
    CHECK(a->answer.margin == margin);
    CHECK(a->answer.in_scope == (a->features && margin >= model->threshold));
}

static size_t bit_bytes(const neuralbits_model *model)
{
    size_t each = model->blocks ? (size_t)1 << model->dimensions : model->dimensions;
    return (model->kept * each + 63) / 64 * model->code_bits * sizeof(uint64_t);
}

/* Project and score a text, and check the results. */
static answered answer(const neuralbits_model *model, const uint8_t *text, size_t bytes)
{
    size_t size = neuralbits_scratch_size(model, bytes);
    uint8_t *scratch = allocated(size);
    answered a;
    memset(&a, 0, sizeof a);
    CHECK(size > 0);
    a.bit_bytes = bit_bytes(model);
    a.bits = allocated(a.bit_bytes);
    a.score_bytes = neuralbits_intents(model) * sizeof *a.scores;
    a.scores = allocated(a.score_bytes);
    CHECK(neuralbits_project(model, (const char *)text, bytes, scratch, size, a.bits,
                             &a.features) == NEURALBITS_OK);
    memset(scratch, 0xA5, size); /* previous content must not matter */
    CHECK(neuralbits_score(model, (const char *)text, bytes, scratch, size, a.scores, &a.answer) ==
          NEURALBITS_OK);
    CHECK(neuralbits_project(model, (const char *)text, bytes, scratch, size - 1, a.bits,
                             &a.features) == NEURALBITS_TOO_LONG);
    CHECK(neuralbits_score(model, (const char *)text, bytes, scratch, size - 1, a.scores,
                           &a.answer) == NEURALBITS_TOO_LONG);
    check_answer(model, &a);
    check_probabilities(model, &a);
    free(scratch);
    return a;
}

/* Explain a text, and check that the explanation agrees with the answer. */
static void check_explanation(const neuralbits_model *model, const uint8_t *text, size_t bytes,
                              const answered *a)
{
    size_t size = neuralbits_explain_scratch_size(model, bytes);
    uint8_t *scratch = allocated(size);
    neuralbits_explanation found;
    neuralbits_status status;
    uint64_t features = 0;
    uint32_t i;
    memset(scratch, 0xA5, size);
    status = neuralbits_explain(model, (const char *)text, bytes, scratch, size, &found);
    CHECK(status == NEURALBITS_OK || status == NEURALBITS_TOO_VARIED);
    if (status == NEURALBITS_OK) {
        size_t length = strlen(found.tokens);
        CHECK(!memcmp(found.bits, a->bits, a->bit_bytes));
        CHECK(found.answer.intent == a->answer.intent && found.answer.margin == a->answer.margin);
        CHECK(found.answer.in_scope == a->answer.in_scope);
        for (i = 0; i < found.ngram_count; i++) {
            const neuralbits_ngram *ngram = found.ngrams + i;
            features += ngram->count;
            CHECK(ngram->bytes > 0 && ngram->count > 0);
            CHECK(model->families >> (ngram->family - 1) & 1);
            CHECK(ngram->start + ngram->bytes <= length && ngram->rest + ngram->rest_bytes <= length);
            CHECK(!isnan(ngram->influence));
        }
        CHECK(features == a->features);
    }
    CHECK(neuralbits_explain(model, (const char *)text, bytes, scratch, size - 1, &found) ==
          NEURALBITS_TOO_LONG);
    free(scratch);
}

static int alike(const answered *a, const answered *b)
{
    return a->features == b->features && !memcmp(a->bits, b->bits, a->bit_bytes) &&
           !memcmp(a->scores, b->scores, a->score_bytes) && a->answer.intent == b->answer.intent &&
           a->answer.margin == b->answer.margin && a->answer.in_scope == b->answer.in_scope;
}
