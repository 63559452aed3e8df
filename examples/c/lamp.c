/* A lamp that obeys commands, one a line. As on a device, all memory is static, and nothing that is called
 * uses floating point. */

#include <stdio.h>
#include <string.h>

#include "home_assistant_en_model.h"
#include "neuralbits.h"

#define MAX_TEXT_BYTES 255 /* the longest that HOME_ASSISTANT_EN_SCRATCH suffices for */

static uint64_t scratch[HOME_ASSISTANT_EN_SCRATCH / 8]; /* 64-bit, for alignment to 8 */
static int32_t scores[HOME_ASSISTANT_EN_INTENTS];
static neuralbits_model model;

int main(void)
{
    char text[MAX_TEXT_BYTES + 1];
    int on = 0;
    if (neuralbits_open(&model, home_assistant_en_model, sizeof home_assistant_en_model))
        return 1;
    while (fgets(text, sizeof text, stdin)) {
        neuralbits_answer answer;
        const char *intent;
        if (neuralbits_score(&model, text, strlen(text), scratch, sizeof scratch, scores, &answer))
            return 1;
        intent = home_assistant_en_labels[answer.intent];
        if (!answer.in_scope)
            intent = "nothing that I know";
        else if (!strcmp(intent, "HassTurnOn"))
            on = 1;
        else if (!strcmp(intent, "HassTurnOff"))
            on = 0;
        printf("%s: the lamp is %s\n", intent, on ? "on" : "off");
    }
    return 0;
}
