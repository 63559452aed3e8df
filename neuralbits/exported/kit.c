/* SPDX-License-Identifier: Apache-2.0 */

/* The kernel and the model of one artifact. Written by `neuralbits export`. */

#include "example.h"

/* Another library of neuralbits in the same program has a kernel, too. */
/* NAMES */

#include "example/neuralbits.inc"

#include "example/model.h"

static uint64_t scratch[EXAMPLE_SCRATCH_NUMBER / 8];
static int32_t scores[EXAMPLE_INTENTS];

bool example_classify(const char *text, size_t bytes, example_answer *answer)
{
    static neuralbits_model opened;
    static bool is_open;
    neuralbits_answer found;
    if (!is_open && neuralbits_open(&opened, model, sizeof model) != NEURALBITS_OK)
        return false;
    is_open = true;
    if (bytes > EXAMPLE_MAX_TEXT
        || neuralbits_score(&opened, text, bytes, scratch, sizeof scratch, scores, &found) != NEURALBITS_OK)
        return false;
    answer->index = found.intent;
    answer->intent = example_labels[found.intent];
    answer->in_scope = found.in_scope;
    return true;
}
