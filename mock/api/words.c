/* SPDX-License-Identifier: MIT */
#include "mock/api/words.h"

#include <weir/random.h>

#include <pthread.h>
#include <string.h>

/* XX(word): common ones, of letters that stand for themselves in JSON and HTML. */
#define WORDS(XX)                                                                                  \
    XX(a) XX(able) XX(about) XX(above) XX(across) XX(act) XX(after) XX(again)                      \
    XX(age) XX(air) XX(all) XX(almost) XX(along) XX(also) XX(always) XX(among)                     \
    XX(an) XX(and) XX(animal) XX(another) XX(answer) XX(any) XX(appear) XX(are)                    \
    XX(area) XX(around) XX(as) XX(ask) XX(at) XX(away) XX(back) XX(base)                           \
    XX(be) XX(beautiful) XX(because) XX(become) XX(been) XX(before) XX(began) XX(behind)           \
    XX(best) XX(better) XX(between) XX(big) XX(bird) XX(black) XX(blue) XX(boat)                   \
    XX(body) XX(book) XX(both) XX(bring) XX(brought) XX(build) XX(busy) XX(but)                    \
    XX(by) XX(call) XX(came) XX(can) XX(car) XX(care) XX(carry) XX(cause)                          \
    XX(centre) XX(certain) XX(change) XX(children) XX(city) XX(class) XX(clear) XX(close)          \
    XX(cold) XX(colour) XX(come) XX(common) XX(complete) XX(could) XX(country) XX(course)          \
    XX(cover) XX(cross) XX(dark) XX(day) XX(decide) XX(deep) XX(develop) XX(did)                   \
    XX(differ) XX(direct) XX(distant) XX(do) XX(does) XX(dog) XX(door) XX(down)                    \
    XX(draw) XX(drive) XX(dry) XX(during) XX(each) XX(early) XX(earth) XX(east)                    \
    XX(easy) XX(eat) XX(end) XX(enough) XX(even) XX(ever) XX(every) XX(example)                    \
    XX(eye) XX(face) XX(fact) XX(fall) XX(family) XX(far) XX(farm) XX(fast)                        \
    XX(father) XX(feel) XX(feet) XX(few) XX(field) XX(figure) XX(final) XX(find)                   \
    XX(fine) XX(fire) XX(first) XX(fish) XX(five) XX(fly) XX(follow) XX(food)                      \
    XX(for) XX(force) XX(form) XX(found) XX(four) XX(free) XX(friend) XX(from)                     \
    XX(front) XX(full) XX(gave) XX(get) XX(girl) XX(give) XX(go) XX(gold)                          \
    XX(good) XX(govern) XX(great) XX(green) XX(ground) XX(group) XX(grow) XX(had)                  \
    XX(half) XX(hand) XX(happen) XX(hard) XX(has) XX(have) XX(he) XX(head)                         \
    XX(hear) XX(heart) XX(help) XX(her) XX(here) XX(high) XX(him) XX(his)                          \
    XX(hold) XX(home) XX(horse) XX(hot) XX(hour) XX(house) XX(how) XX(hundred)                     \
    XX(idea) XX(if) XX(in) XX(inch) XX(interest) XX(is) XX(island) XX(it)                          \
    XX(just) XX(keep) XX(kind) XX(king) XX(knew) XX(know) XX(land) XX(language)                    \
    XX(large) XX(last) XX(late) XX(laugh) XX(lead) XX(learn) XX(leave) XX(left)                    \
    XX(less) XX(let) XX(letter) XX(life) XX(light) XX(like) XX(line) XX(list)                      \
    XX(listen) XX(little) XX(live) XX(long) XX(look) XX(love) XX(low) XX(machine)                  \
    XX(made) XX(main) XX(make) XX(man) XX(many) XX(map) XX(mark) XX(may)                           \
    XX(mean) XX(measure) XX(men) XX(might) XX(mile) XX(mind) XX(minute) XX(miss)

/* Of the draws of a request's key, those that choose words: no other draw is so large. */
#define WORDS_DRAW UINT64_C(0x776f726473000000)

/* The order of the words, the same in every process. */
#define ORDER_SEED 20

struct words_list {
    const char *text;
    size_t bytes;
};

static pthread_once_t words_once = PTHREAD_ONCE_INIT;
static uint16_t words_at[WORDS_COUNT + 1];
/* The longest words everywhere would fit, and what lies behind the last one may be read. */
static char words_text[WORDS_COUNT * 11 + WORDS_ONE_BYTES];
_Static_assert(sizeof words_text <= UINT16_MAX, "places are of 16 bits");

static void words_make(void)
{
#define XX(word) { " " #word, sizeof(" " #word) - 1 },
    static const struct words_list list[] = { WORDS(XX) };
#undef XX
#define XX(word) _Static_assert(sizeof(#word) <= 11, "fits into words_text");
    WORDS(XX)
#undef XX
    size_t count = sizeof list / sizeof list[0], len = 0;
    for (uint32_t i = 0; i < WORDS_COUNT; i++) {
        const struct words_list *word = &list[weir_random_u64(ORDER_SEED, i, 0) % count];
        words_at[i] = (uint16_t)len;
        memcpy(words_text + len, word->text, word->bytes);
        len += word->bytes;
    }
    words_at[WORDS_COUNT] = (uint16_t)len;
}

uint32_t words_start(uint64_t seed, uint64_t key, uint32_t choice)
{
    uint64_t draw = weir_random_u64(seed, key, WORDS_DRAW + choice);
    return (uint32_t)(draw % WORDS_STARTS) * WORDS_STRIDE;
}

struct words words_all(void)
{
    pthread_once(&words_once, words_make);
    return (struct words){ .text = words_text, .at = words_at };
}

struct weir_slice words_one(uint32_t start, uint32_t index)
{
    pthread_once(&words_once, words_make);
    uint32_t i = (start + index) % WORDS_COUNT;
    return (struct weir_slice){ (const uint8_t *)words_text + words_at[i],
                                (size_t)words_at[i + 1] - words_at[i] };
}

uint64_t words_bytes(uint32_t start, uint32_t count)
{
    if (count == 0)
        return 0;
    pthread_once(&words_once, words_make);
    uint64_t whole = words_at[WORDS_COUNT], bytes = count / WORDS_COUNT * whole;
    uint32_t end = start + count % WORDS_COUNT;
    bytes += end <= WORDS_COUNT ? (uint64_t)words_at[end] - words_at[start]
                                : whole - words_at[start] + words_at[end - WORDS_COUNT];
    return bytes - 1;
}

char *words_write(char *at, uint32_t start, uint32_t count)
{
    if (count == 0)
        return at;
    uint64_t left = words_bytes(start, count);
    size_t from = (size_t)words_at[start] + 1; /* behind the blank of the first */
    while (left > 0) {
        size_t bytes = words_at[WORDS_COUNT] - from;
        if (bytes > left)
            bytes = (size_t)left;
        memcpy(at, words_text + from, bytes);
        at += bytes;
        left -= bytes;
        from = 0;
    }
    return at;
}
