/* SPDX-License-Identifier: MIT */
#include "io/tls_cache.h"

#include <errno.h>

struct weir_tls_cached {
    struct weir_list used; /* the first pointer is the pool's while free */
    struct weir_tls_cached *next;
    uint32_t hash;
    uint32_t count;
    SSL_SESSION *sessions[WEIR_TLS_SESSIONS_PER_KEY]; /* the oldest first */
    size_t key_bytes;
    uint8_t key[WEIR_TLS_KEY_BYTES_MAX];
};

/* FNV-1a: short, and the keys are ours. */
static uint32_t key_hash(struct weir_slice key)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < key.len; i++)
        hash = (hash ^ key.ptr[i]) * 16777619u;
    return hash ^ hash >> 16;
}

int weir_tls_cache_open(struct weir_tls_cache *cache, uint32_t max)
{
    WEIR_ASSERT(max > 0 && max <= 1u << 20);
    uint32_t buckets = 16;
    while (buckets < max)
        buckets *= 2;
    uint64_t bytes = weir_pool_bytes(sizeof(struct weir_tls_cached), max) +
                     weir_arena_cost((uint64_t)buckets * sizeof(void *), WEIR_CACHE_LINE);
    *cache = (struct weir_tls_cache){ .mask = buckets - 1 };
    int rc = weir_arena_open(&cache->arena, weir_align_up(bytes, WEIR_PAGE));
    if (rc < 0)
        return rc;
    weir_pool_open(&cache->entries, &cache->arena, sizeof(struct weir_tls_cached), max);
    cache->buckets =
        weir_arena_take(&cache->arena, (uint64_t)buckets * sizeof(void *), WEIR_CACHE_LINE);
    weir_arena_seal(&cache->arena);
    weir_list_init(&cache->used);
    pthread_mutex_init(&cache->lock, NULL);
    return 0;
}

/* The link that points to the entry of `key`, or where it would be. */
static struct weir_tls_cached **find(struct weir_tls_cache *cache, struct weir_slice key,
                                     uint32_t hash)
{
    struct weir_tls_cached **at = &cache->buckets[hash & cache->mask];
    while (*at != NULL && ((*at)->hash != hash || (*at)->key_bytes != key.len ||
                           memcmp((*at)->key, key.ptr, key.len) != 0))
        at = &(*at)->next;
    return at;
}

static void drop(struct weir_tls_cache *cache, struct weir_tls_cached **at)
{
    struct weir_tls_cached *entry = *at;
    for (uint32_t i = 0; i < entry->count; i++)
        SSL_SESSION_free(entry->sessions[i]);
    cache->sessions_count -= entry->count;
    *at = entry->next;
    weir_list_remove(&entry->used);
    weir_pool_put(&cache->entries, entry);
}

static void drop_oldest(struct weir_tls_cache *cache)
{
    WEIR_ASSERT(!weir_list_empty(&cache->used));
    struct weir_tls_cached *oldest =
        weir_container_of(cache->used.prev, struct weir_tls_cached, used);
    drop(cache, find(cache, (struct weir_slice){ oldest->key, oldest->key_bytes }, oldest->hash));
}

static struct weir_tls_cached *add(struct weir_tls_cache *cache, struct weir_slice key,
                                   uint32_t hash)
{
    if (cache->entries.used == cache->entries.count)
        drop_oldest(cache);
    struct weir_tls_cached *entry = weir_pool_get(&cache->entries);
    WEIR_ASSERT(entry != NULL);
    struct weir_tls_cached **bucket = &cache->buckets[hash & cache->mask];
    *entry = (struct weir_tls_cached){ .next = *bucket, .hash = hash, .key_bytes = key.len };
    memcpy(entry->key, key.ptr, key.len);
    weir_list_init(&entry->used);
    *bucket = entry;
    return entry;
}

void weir_tls_cache_close(struct weir_tls_cache *cache)
{
    while (!weir_list_empty(&cache->used))
        drop_oldest(cache);
    WEIR_ASSERT(cache->sessions_count == 0);
    pthread_mutex_destroy(&cache->lock);
    weir_arena_close(&cache->arena);
}

void weir_tls_cache_put(struct weir_tls_cache *cache, struct weir_slice key, SSL_SESSION *session)
{
    if (key.len == 0 || key.len > WEIR_TLS_KEY_BYTES_MAX) {
        SSL_SESSION_free(session);
        return;
    }
    uint32_t hash = key_hash(key);
    pthread_mutex_lock(&cache->lock);
    struct weir_tls_cached *entry = *find(cache, key, hash);
    if (entry == NULL)
        entry = add(cache, key, hash);
    if (entry->count == WEIR_TLS_SESSIONS_PER_KEY) {
        SSL_SESSION_free(entry->sessions[0]);
        for (uint32_t i = 1; i < entry->count; i++)
            entry->sessions[i - 1] = entry->sessions[i];
        entry->count--;
        cache->sessions_count--;
    }
    entry->sessions[entry->count++] = session;
    cache->sessions_count++;
    weir_list_remove(&entry->used);
    weir_list_push_front(&cache->used, &entry->used);
    pthread_mutex_unlock(&cache->lock);
}

SSL_SESSION *weir_tls_cache_take(struct weir_tls_cache *cache, struct weir_slice key)
{
    if (key.len == 0 || key.len > WEIR_TLS_KEY_BYTES_MAX)
        return NULL;
    SSL_SESSION *session = NULL;
    uint32_t hash = key_hash(key);
    pthread_mutex_lock(&cache->lock);
    struct weir_tls_cached **at = find(cache, key, hash);
    struct weir_tls_cached *entry = *at;
    if (entry != NULL) {
        WEIR_ASSERT(entry->count > 0);
        SSL_SESSION *newest = entry->sessions[entry->count - 1];
        if (SSL_SESSION_get_protocol_version(newest) >= TLS1_3_VERSION) {
            session = newest;
            entry->count--;
            cache->sessions_count--;
        } else {
            /* OpenSSL writes into a session that is in use, so threads must not share one. */
            session = SSL_SESSION_dup(newest);
        }
        weir_list_remove(&entry->used);
        weir_list_push_front(&cache->used, &entry->used);
        if (entry->count == 0)
            drop(cache, at);
    }
    pthread_mutex_unlock(&cache->lock);
    return session;
}

uint32_t weir_tls_cache_count(struct weir_tls_cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    uint32_t count = cache->sessions_count;
    pthread_mutex_unlock(&cache->lock);
    return count;
}
