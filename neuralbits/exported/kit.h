/* SPDX-License-Identifier: Apache-2.0 */

/* EXAMPLE_SUMMARY Written by `neuralbits export`; the artifact is EXAMPLE_DIGEST.
 *
 *     example_answer answer;
 *     if (example_classify(text, strlen(text), &answer) && answer.in_scope)
 *         puts(answer.intent);
 */

#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EXAMPLE_INTENTS EXAMPLE_INTENTS_NUMBER
#define EXAMPLE_MAX_TEXT EXAMPLE_MAX_TEXT_NUMBER /* bytes */

typedef struct {
    const char *intent; /* the likeliest: example_labels[index] */
    uint32_t index;
    bool in_scope; /* whether to act on it */
} example_answer;

extern const char *const example_labels[EXAMPLE_INTENTS];

/* Classify a text in UTF-8. Return false, and leave the answer as it is, if the text is longer than
 * EXAMPLE_MAX_TEXT or the model is damaged. The working memory is static: call it from one thread at a time. */
bool example_classify(const char *text, size_t bytes, example_answer *answer);

#ifdef __cplusplus
}
#endif

#endif
