/* A firmware for Cortex-M that scores texts by an artifact in flash, and measures time and stack of each.
 *
 * Texts come and answers go by semihosting, as the standard input and output of an emulator, or of a
 * debugger. A text is its length, 4 bytes from the low one, and its UTF-8. The first answer is a `ready`;
 * each text's is an `answered` and the scores.
 *
 * No variable is read before it is written, so the program begins without preparing memory. */

#include "../neuralbits.h"

#define MAX_TEXT_BYTES 256
#define MAX_INTENTS 256

__asm__(".section .rodata.artifact, \"a\"\n"
        "artifact: .incbin \"" ARTIFACT "\"\n"
        "artifact_end:\n"
        ".text\n");
extern const uint8_t artifact[], artifact_end[];
extern uint64_t spare[], stack_bottom[]; /* memory.ld: the scratch buffer lies between them */
extern uint32_t stack_top[];

typedef struct {
    uint32_t status, intents, longest_text;
    uint32_t model_bytes, scratch_bytes;
    uint32_t loop_instructions, loop_ticks; /* of a loop: what a tick is worth */
    uint32_t ticks, stack_bytes;            /* that opening the artifact took */
} ready;

typedef struct {
    int64_t margin;
    uint32_t intent, in_scope;
    uint32_t ticks, stack_bytes;
} answered;

/* ---- Semihosting: a breakpoint that the host answers ----------------------------------------------- */

enum { OPEN = 0x01, WRITE = 0x05, READ = 0x06, EXIT = 0x18 };
enum { TO_READ = 0, TO_WRITE = 4, SUCCEEDED = 0x20026, FAILED = 0x20023 };

static uint32_t host(uint32_t operation, const void *arguments)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static uint32_t console(uint32_t mode)
{
    const uint32_t arguments[] = {(uint32_t)":tt", mode, 3};
    return host(OPEN, arguments);
}

/* Read as many bytes; 0 if the input ends before. */
static int read(uint32_t file, void *bytes, uint32_t count)
{
    while (count) {
        const uint32_t arguments[] = {file, (uint32_t)bytes, count};
        uint32_t left = host(READ, arguments);
        if (left >= count)
            return 0;
        bytes = (uint8_t *)bytes + (count - left);
        count = left;
    }
    return 1;
}

static void write(uint32_t file, const void *bytes, uint32_t count)
{
    const uint32_t arguments[] = {file, (uint32_t)bytes, count};
    host(WRITE, arguments);
}

static void leave(uint32_t reason)
{
    for (;;)
        host(EXIT, (const void *)reason);
}

/* ---- Time: SysTick counts down, 24 bits -------------------------------------------------------------- */

#define SYSTICK ((volatile uint32_t *)0xE000E010)
#define LOOP_INSTRUCTIONS 1000000u

static void start_clock(void)
{
    SYSTICK[1] = 0xFFFFFF;
    SYSTICK[2] = 0;
    SYSTICK[0] = 5; /* on, by the processor's clock, without an interrupt */
}

static uint32_t ticks_since(uint32_t start)
{
    return (start - SYSTICK[2]) & 0xFFFFFF;
}

static uint32_t time_loop(void)
{
    uint32_t rounds = LOOP_INSTRUCTIONS / 2, start = SYSTICK[2];
    __asm__ volatile(".syntax unified\n1: subs %0, %0, #1\nbne 1b" : "+l"(rounds) : : "cc");
    return ticks_since(start);
}

/* ---- Stack: painted where it is free, and looked at where the paint is gone -------------------------- */

#define PAINT 0xA5A5A5A5u

static void paint(void)
{
    volatile uint32_t *at = (volatile uint32_t *)stack_bottom, *here = __builtin_frame_address(0);
    while (at < here - 16) /* not its own frame */
        *at++ = PAINT;
}

static uint32_t stack_used(void)
{
    volatile uint32_t *at = (volatile uint32_t *)stack_bottom;
    while (at < stack_top && *at == PAINT)
        at++;
    return (uint32_t)((uintptr_t)stack_top - (uintptr_t)at);
}

/* ------------------------------------------------------------------------------------------------------ */

void _start(void)
{
    static neuralbits_model model;
    static char text[MAX_TEXT_BYTES];
    static int32_t scores[MAX_INTENTS];
    uint32_t in = console(TO_READ), out = console(TO_WRITE), start, bytes;
    size_t scratch_size = (uintptr_t)stack_bottom - (uintptr_t)spare;
    neuralbits_answer answer;
    answered each;
    ready first = {0, 0, 0, 0, 0, 0, 0, 0, 0};

    start_clock();
    first.loop_ticks = time_loop();
    paint();
    start = SYSTICK[2];
    first.status = neuralbits_open(&model, artifact, (size_t)(artifact_end - artifact));
    first.ticks = ticks_since(start);
    first.stack_bytes = stack_used();
    first.longest_text = MAX_TEXT_BYTES;
    first.model_bytes = sizeof model;
    first.loop_instructions = LOOP_INSTRUCTIONS;
    if (first.status == NEURALBITS_OK) {
        first.intents = neuralbits_intents(&model);
        first.scratch_bytes = (uint32_t)neuralbits_scratch_size(&model, MAX_TEXT_BYTES);
    }
    write(out, &first, sizeof first);
    if (first.status != NEURALBITS_OK || first.intents > MAX_INTENTS ||
        !first.scratch_bytes || first.scratch_bytes > scratch_size)
        leave(FAILED);

    while (read(in, &bytes, sizeof bytes)) {
        if (bytes > MAX_TEXT_BYTES || !read(in, text, bytes))
            leave(FAILED);
        paint();
        start = SYSTICK[2];
        if (neuralbits_score(&model, text, bytes, spare, scratch_size, scores, &answer))
            leave(FAILED);
        each.ticks = ticks_since(start);
        each.stack_bytes = stack_used();
        each.margin = answer.margin;
        each.intent = answer.intent;
        each.in_scope = (uint32_t)answer.in_scope;
        write(out, &each, sizeof each);
        write(out, scores, first.intents * sizeof *scores);
    }
    leave(SUCCEEDED);
}
