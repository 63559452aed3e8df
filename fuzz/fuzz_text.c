/* Any bytes as a text. MODEL, a file that the build names, answers it within its buffers. The answer is the same
 * a second time, and after ill-formed UTF-8 is replaced by U+FFFD. The answer is explained too. */

#include "checked.h"

#define MAX_EXPLAINED 64 /* bytes: longer texts have many n-grams, so fewer texts would be tried */

static neuralbits_model model;

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    FILE *file = fopen(MODEL, "rb");
    uint8_t *content;
    long size;
    (void)count;
    (void)arguments;
    CHECK(file && !fseek(file, 0, SEEK_END) && (size = ftell(file)) > 0);
    rewind(file);
    content = allocated((size_t)size); /* never freed: the model points into it */
    CHECK(fread(content, 1, (size_t)size, file) == (size_t)size);
    fclose(file);
    CHECK(neuralbits_open(&model, content, (size_t)size) == NEURALBITS_OK);
    return 0;
}

/* Whether these bytes begin a code point: the missing bits can be completed to a code point that takes this
 * many bytes. (The kernel compares bytes instead.) */
static int begins_code_point(const uint8_t *bytes, size_t count, size_t *length)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    uint32_t code, open = 0;
    size_t i;
    *length = bytes[0] < 0x80 ? 1 : bytes[0] < 0xC0 ? 0 : bytes[0] < 0xE0 ? 2 : bytes[0] < 0xF0 ? 3 : 4;
    if (!*length || bytes[0] >= 0xF8 || count > *length)
        return 0;
    code = *length == 1 ? bytes[0] : bytes[0] & (0x7Fu >> *length);
    for (i = 1; i < *length; i++) {
        if (i < count && bytes[i] >> 6 != 2)
            return 0;
        code = code << 6 | (i < count ? bytes[i] & 0x3Fu : 0);
        open = open << 6 | (i < count ? 0 : 0x3Fu);
    }
    return (code | open) >= least[*length - 1] && code <= 0x10FFFF;
}

/* Write a text as well-formed UTF-8, at most three times as long. */
static size_t well_formed(const uint8_t *text, size_t bytes, uint8_t *result)
{
    size_t place = 0, written = 0;
    while (place < bytes) {
        size_t count = 1, length;
        while (place + count < bytes && begins_code_point(text + place, count + 1, &length))
            count++;
        if (!begins_code_point(text + place, count, &length) || count < length ||
            (text[place] == 0xED && text[place + 1] >= 0xA0)) { /* a surrogate */
            memcpy(result + written, "\xEF\xBF\xBD", 3);
            written += 3;
        } else {
            memcpy(result + written, text + place, count);
            written += count;
        }
        place += count;
    }
    return written;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *replaced = allocated(3 * size), *text;
    size_t bytes = well_formed(data, size, replaced);
    answered first = answer(&model, data, size), again = answer(&model, data, size), other;
    CHECK(alike(&first, &again));
    text = allocated(bytes);
    memcpy(text, replaced, bytes);
    other = answer(&model, text, bytes);
    CHECK(alike(&first, &other));
    if (size <= MAX_EXPLAINED)
        check_explanation(&model, data, size, &first);
    forget(&first);
    forget(&again);
    forget(&other);
    free(text);
    free(replaced);
    return 0;
}
