/* Answers texts with an artifact, or explains the answers, for the tests:
 *
 *     driver ARTIFACT [explain] < TEXTS    one artifact
 *     driver < REQUESTS                    one after another: lines ARTIFACT, a tab, TEXTS, or
 *                                          ARTIFACT, a tab, TEXTS, a tab, explain
 *
 * A text is its length, 4 bytes from the low one, and its UTF-8; an answer is a line of JSON, and an empty
 * line ends the answers to a request. A file that is refused gives one line, its status. Every buffer
 * is as long as it has to be and no longer, so that a sanitizer sees any step beyond. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../kernel/neuralbits.h"

static void *allocated(size_t bytes)
{
    void *memory = malloc(bytes ? bytes : 1);
    if (!memory)
        exit(1);
    return memory;
}

static int answer(const neuralbits_model *model, const char *text, size_t bytes)
{
    uint32_t intents = neuralbits_intents(model), inputs = model->layers[0].inputs, i;
    size_t size = neuralbits_scratch_size(model, bytes), words = ((size_t)inputs + 63) / 64;
    void *scratch = allocated(size);
    uint64_t *bits = allocated(words * model->code_bits * sizeof *bits), features = 0;
    int32_t *scores = allocated(intents * sizeof *scores);
    double *probabilities = allocated(intents * sizeof *probabilities);
    neuralbits_answer result = {0, 0, 0};
    int failed = neuralbits_project(model, text, bytes, scratch, size, bits, &features) ||
                 neuralbits_score(model, text, bytes, scratch, size, scores, &result);
    if (!failed) {
        neuralbits_probabilities(model, scores, probabilities);
        printf("{\"features\": %llu, \"bits\": [", (unsigned long long)features);
        for (i = 0; i < words * model->code_bits; i++)
            printf("%s%llu", i ? ", " : "", (unsigned long long)bits[i]);
        printf("], \"scores\": [");
        for (i = 0; i < intents; i++)
            printf("%s%" PRId32, i ? ", " : "", scores[i]);
        printf("], \"probabilities\": [");
        for (i = 0; i < intents; i++)
            printf("%s%.17g", i ? ", " : "", probabilities[i]);
        printf("], \"intent\": %" PRIu32 ", \"margin\": %lld, \"in_scope\": %s}\n", result.intent,
               (long long)result.margin, result.in_scope ? "true" : "false");
    }
    free(probabilities);
    free(scores);
    free(bits);
    free(scratch);
    return failed;
}

static void print_string(const char *bytes, uint32_t count)
{
    uint32_t i;
    for (i = 0; i < count; i++)
        printf("%02x", (unsigned char)bytes[i]);
}

static int explain(const neuralbits_model *model, const char *text, size_t bytes)
{
    size_t size = neuralbits_explain_scratch_size(model, bytes);
    size_t words = ((size_t)model->layers[0].inputs + 63) / 64 * model->code_bits, i;
    void *scratch = allocated(size);
    neuralbits_explanation explanation;
    neuralbits_status status = neuralbits_explain(model, text, bytes, scratch, size, &explanation);
    if (status == NEURALBITS_TOO_VARIED) {
        printf("%d\n", (int)status);
    } else if (!status) {
        printf("{\"intent\": %" PRIu32 ", \"margin\": %lld, \"bits\": [", explanation.answer.intent,
               (long long)explanation.answer.margin);
        for (i = 0; i < words; i++)
            printf("%s%llu", i ? ", " : "", (unsigned long long)explanation.bits[i]);
        printf("], \"ngrams\": [");
        for (i = 0; i < explanation.ngram_count; i++) {
            const neuralbits_ngram *ngram = explanation.ngrams + i;
            printf("%s[%" PRIu32 ", \"", i ? ", " : "", ngram->family);
            print_string(explanation.tokens + ngram->start, ngram->bytes);
            print_string(explanation.tokens + ngram->rest, ngram->rest_bytes);
            printf("\", %" PRIu32 ", %" PRIu32 ", %.17g]", ngram->feature, ngram->count,
                   ngram->influence);
        }
        printf("]}\n");
    }
    free(scratch);
    return status != NEURALBITS_OK && status != NEURALBITS_TOO_VARIED;
}

/* Open the artifact at a path and answer, or explain, the texts that a stream holds; 0 on success. */
static int respond(const char *path, FILE *texts, int explained)
{
    FILE *file = fopen(path, "rb");
    unsigned char length[4];
    neuralbits_model model;
    neuralbits_status status;
    char *content;
    long size;
    int failed = 0;
    if (!file || fseek(file, 0, SEEK_END) || (size = ftell(file)) < 0)
        return 1;
    rewind(file);
    content = allocated((size_t)size);
    if (fread(content, 1, (size_t)size, file) != (size_t)size)
        return 1;
    fclose(file);
    status = neuralbits_open(&model, content, (size_t)size);
    if (status != NEURALBITS_OK)
        printf("%d\n", (int)status);
    while (status == NEURALBITS_OK && !failed && fread(length, 1, 4, texts) == 4) {
        size_t bytes = length[0] | (size_t)length[1] << 8 | (size_t)length[2] << 16 |
                       (size_t)length[3] << 24;
        char *text = allocated(bytes);
        failed = fread(text, 1, bytes, texts) != bytes ||
                 (explained ? explain : answer)(&model, text, bytes);
        free(text);
    }
    free(content);
    return failed;
}

int main(int count, char **arguments)
{
    static char line[8192];
    if (count > 1)
        return respond(arguments[1], stdin, count > 2);
    while (fgets(line, sizeof line, stdin)) {
        char *path = strtok(line, "\t\n"), *texts = strtok(NULL, "\t\n");
        int explained = strtok(NULL, "\t\n") != NULL;
        FILE *file = texts ? fopen(texts, "rb") : NULL;
        if (!file || respond(path, file, explained))
            return 1;
        fclose(file);
        printf("\n");
        fflush(stdout);
    }
    return 0;
}
