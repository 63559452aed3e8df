/* Any bytes as an artifact, and as a projection's settings: they are refused, or answer within their buffers.
 *
 * Nearly every change of a file's bytes makes it foreign: its JSON is truncated, or its length differs from
 * the declared one. So mutations respect the structure: a JSON header and the tensors after it. */

#include "checked.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

/* Project more features than the kernel counts at once. */
static void check_features(const neuralbits_model *model)
{
    uint32_t features[100];
    size_t count = sizeof features / sizeof features[0], i;
    size_t size = neuralbits_scratch_size(model, count / NEURALBITS_MAX_FEATURES_PER_BYTE + 1);
    uint8_t *scratch = allocated(size);
    uint64_t *first = allocated(bit_bytes(model)), *again = allocated(bit_bytes(model));
    for (i = 0; i < count; i++)
        features[i] = (uint32_t)(i * i * i * 2654435761u);
    CHECK(neuralbits_project_features(model, features, count, scratch, size, first) == NEURALBITS_OK);
    memset(scratch, 0xA5, size);
    CHECK(neuralbits_project_features(model, features, count, scratch, size, again) == NEURALBITS_OK);
    CHECK(!memcmp(first, again, bit_bytes(model)));
    CHECK(neuralbits_project_features(model, features, count, scratch, size - 1, again) ==
          NEURALBITS_TOO_LONG);
    free(again);
    free(first);
    free(scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const texts[] = {"", "turn on the lamp", "20% \xED\x95\x9C \xF0\x9F\x99", "?!?"};
    neuralbits_model model;
    size_t most, i;
    if (neuralbits_open_projection(&model, data, size) == NEURALBITS_OK)
        check_features(&model);
    if (neuralbits_open(&model, data, size) != NEURALBITS_OK)
        return 0;
    check_features(&model);
    most = neuralbits_scratch_size(&model, 1 << 24);
    CHECK(!most || most > neuralbits_scratch_size(&model, 1 << 12));
    CHECK(!neuralbits_scratch_size(&model, SIZE_MAX));
    for (i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size_t bytes = strlen(texts[i]);
        uint8_t *text = allocated(bytes);
        answered first, again;
        memcpy(text, texts[i], bytes);
        first = answer(&model, text, bytes);
        again = answer(&model, text, bytes);
        CHECK(alike(&first, &again));
        check_explanation(&model, text, bytes, &first);
        forget(&first);
        forget(&again);
        free(text);
    }
    return 0;
}

/* ---- Mutations ----------------------------------------------------------------------------------- */

static uint64_t little_endian(const uint8_t *at)
{
    uint64_t number = 0;
    unsigned i;
    for (i = 0; i < 8; i++)
        number |= (uint64_t)at[i] << 8 * i;
    return number;
}

/* Replace a part by other bytes, and return the new size; the old size if there is no room. */
static size_t replaced(uint8_t *data, size_t size, size_t most, size_t begin, size_t end,
                       const uint8_t *part, size_t bytes)
{
    if (size - (end - begin) + bytes > most)
        return size;
    memmove(data + begin + bytes, data + end, size - end);
    memcpy(data + begin, part, bytes);
    return size - (end - begin) + bytes;
}

/* Replace a number of the header by a boundary value. */
static size_t with_another_number(uint8_t *data, size_t size, size_t most, size_t header_end,
                                  unsigned random)
{
    static const char *const numbers[] = {
        "0",   "1",   "2",    "3",     "7",     "8",     "16",       "31",       "32",         "33",
        "63",  "64",  "65",   "127",   "128",   "255",   "256",      "65535",    "65536",      "65537",
        "1e9", "1e-9", "1e308", "1e-308", "1e999", "0.5", "16777216", "16777217", "2147483647",
        "4294967295", "4294967296", "1099511627776", "18446744073709551616", "-1"};
    const char *number = numbers[random % (sizeof numbers / sizeof numbers[0])];
    size_t begin = 8 + random / 64 % (header_end - 8), end;
    while (begin < header_end && (data[begin] < '0' || data[begin] > '9'))
        begin++;
    for (end = begin; end < header_end && data[end] >= '0' && data[end] <= '9';)
        end++;
    return replaced(data, size, most, begin, end, (const uint8_t *)number, strlen(number));
}

/* Let libFuzzer mutate a part of the input. */
static size_t with_another_part(uint8_t *data, size_t size, size_t most, size_t begin, size_t end,
                                size_t longer)
{
    size_t bytes = end - begin, changed;
    uint8_t *part = allocated(bytes + longer);
    memcpy(part, data + begin, bytes);
    changed = LLVMFuzzerMutate(part, bytes, bytes + longer);
    size = replaced(data, size, most, begin, end, part, changed);
    free(part);
    return size;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    uint64_t header = size > 8 ? little_endian(data) : 0;
    size_t header_end = 8 + (size_t)header, changed, i;
    unsigned way = seed % 16, random = seed / 16;
    if (!header || header > size - 8 || way == 0)
        return LLVMFuzzerMutate(data, size, most);
    if (way < 6 && header_end < size) /* the offsets stay, so the tensors' size must stay */
        return with_another_part(data, size, most, header_end, size, 0);
    if (way < 11)
        changed = with_another_number(data, size, most, header_end, random);
    else
        changed = with_another_part(data, size, most, 8, header_end, 64);
    header += changed;
    header -= size;
    for (i = 0; i < 8; i++)
        data[i] = (uint8_t)(header >> 8 * i);
    return changed;
}
