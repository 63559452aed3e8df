/* SPDX-License-Identifier: Apache-2.0 */

/* Classifies the arguments or, without arguments, the lines of standard input. Prints one line of JSON for
 * each text, as `neuralbits classify --json` does. Written by `neuralbits export`.
 *
 *     cc -std=c99 -O2 *.c -o classify && ./classify "turn of teh lamp"
 *
 * Firmware doesn't need this file. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "example_model.h"
#include "neuralbits.h"

#define TOP_K 3

static void *resized(void *memory, size_t bytes)
{
    memory = realloc(memory, bytes);
    if (!memory) {
        fputs("out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

static void print_string(const char *string, size_t bytes)
{
    static const char named[] = "\b\t\n\f\r\"\\", names[] = "btnfr\"\\";
    size_t i;
    putchar('"');
    for (i = 0; i < bytes; i++) {
        const char *at = string[i] ? strchr(named, string[i]) : NULL;
        if (at)
            printf("\\%c", names[at - named]);
        else if ((unsigned char)string[i] < 0x20)
            printf("\\u%04x", (unsigned)string[i]);
        else
            putchar(string[i]);
    }
    putchar('"');
}

/* Print a number in the fewest digits that parse as the same number. */
static void print_number(double number)
{
    char digits[32];
    int count = 0;
    do
        sprintf(digits, "%.*g", ++count, number);
    while (count < 17 && strtod(digits, NULL) != number);
    printf("%s%s", digits, strpbrk(digits, ".e") ? "" : ".0");
}

static void print_intent(uint32_t intent, double confidence)
{
    printf("\"intent\": ");
    print_string(example_labels[intent], strlen(example_labels[intent]));
    printf(", \"confidence\": ");
    print_number(confidence);
}

/* Return the likeliest intent that isn't printed yet; of equal intents, the first. */
static uint32_t likeliest(const int32_t *scores, const unsigned char *named)
{
    uint32_t best = EXAMPLE_INTENTS, i;
    for (i = 0; i < EXAMPLE_INTENTS; i++)
        if (!named[i] && (best == EXAMPLE_INTENTS || scores[i] > scores[best]))
            best = i;
    return best;
}

static void classify(const neuralbits_model *model, const char *text, size_t bytes)
{
    static int32_t scores[EXAMPLE_INTENTS];
    static double probabilities[EXAMPLE_INTENTS];
    unsigned char named[EXAMPLE_INTENTS] = {0};
    neuralbits_answer answer;
    size_t size = neuralbits_scratch_size(model, bytes);
    void *scratch = resized(NULL, size ? size : 1);
    uint32_t i;
    if (neuralbits_score(model, text, bytes, scratch, size, scores, &answer) != NEURALBITS_OK) {
        fprintf(stderr, "a text of %lu bytes is longer than the kernel takes\n", (unsigned long)bytes);
        exit(1);
    }
    free(scratch);
    neuralbits_probabilities(model, scores, probabilities);
    printf("{\"text\": ");
    print_string(text, bytes);
    printf(", ");
    print_intent(answer.intent, probabilities[answer.intent]);
    printf(", \"in_scope\": %s, \"intents\": [", answer.in_scope ? "true" : "false");
    for (i = 0; i < TOP_K && i < EXAMPLE_INTENTS; i++) {
        uint32_t intent = likeliest(scores, named);
        named[intent] = 1;
        printf("%s{", i ? ", " : "");
        print_intent(intent, probabilities[intent]);
        putchar('}');
    }
    puts("]}");
}

/* Read a line without its newline; return 0 at the end of the input. */
static int read_line(char **line, size_t *room, size_t *length)
{
    int byte = getchar();
    if (byte == EOF)
        return 0;
    for (*length = 0; byte != EOF && byte != '\n'; byte = getchar()) {
        if (*length == *room)
            *line = resized(*line, *room = 2 * *room + 64);
        (*line)[(*length)++] = (char)byte;
    }
    return 1;
}

int main(int count, char **arguments)
{
    neuralbits_model model;
    char *line = NULL;
    size_t room = 0, length;
    int i;
    if (neuralbits_open(&model, example_model, sizeof example_model) != NEURALBITS_OK) {
        fputs("the model is damaged; export it again\n", stderr);
        return 1;
    }
    for (i = 1; i < count; i++)
        classify(&model, arguments[i], strlen(arguments[i]));
    while (count < 2 && read_line(&line, &room, &length))
        classify(&model, line, length);
    free(line);
    return 0;
}
