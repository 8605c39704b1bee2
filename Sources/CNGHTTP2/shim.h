#pragma once
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

/* Memory for nghttp2, kept per thread in free lists by size: an outbound frame or a stream costs two pointer moves
   instead of a malloc and a free (measured, docs/performance.md). Blocks over 2 KiB go to malloc. A session lives on
   one thread, and with it every block of it; what a thread holds is bounded by what its sessions once used at a time.
   Each block is preceded by its size. */

typedef struct {
    size_t size;
    size_t padding; /* keeps the block aligned to 16 bytes */
} mesh_block;

enum { MESH_BLOCK_STEP = 32, MESH_BLOCK_CLASSES = 64 };

static inline void **mesh_free_lists(void) {
    static _Thread_local void *lists[MESH_BLOCK_CLASSES + 1];
    return lists;
}

static inline void *mesh_malloc(size_t count, void *user) {
    (void)user;
    size_t class = count == 0 ? 1 : (count - 1) / MESH_BLOCK_STEP + 1;
    mesh_block *block;
    if (class <= MESH_BLOCK_CLASSES) {
        void **list = mesh_free_lists() + class;
        if (*list) {
            void *taken = *list;
            memcpy(list, taken, sizeof(void *));
            return taken;
        }
        count = class * MESH_BLOCK_STEP;
    }
    if (count > SIZE_MAX - sizeof(mesh_block)) return NULL;
    block = (mesh_block *)malloc(sizeof(mesh_block) + count);
    if (!block) return NULL;
    block->size = count;
    return block + 1;
}

static inline void mesh_free(void *pointer, void *user) {
    (void)user;
    if (!pointer) return;
    mesh_block *block = (mesh_block *)pointer - 1;
    if (block->size > MESH_BLOCK_STEP * MESH_BLOCK_CLASSES) {
        free(block);
        return;
    }
    void **list = mesh_free_lists() + block->size / MESH_BLOCK_STEP;
    memcpy(pointer, list, sizeof(void *));
    *list = pointer;
}

static inline void *mesh_calloc(size_t count, size_t size, void *user) {
    if (size != 0 && count > SIZE_MAX / size) return NULL;
    void *pointer = mesh_malloc(count * size, user);
    if (pointer) memset(pointer, 0, count * size);
    return pointer;
}

static inline void *mesh_realloc(void *pointer, size_t count, void *user) {
    if (!pointer) return mesh_malloc(count, user);
    size_t old = ((mesh_block *)pointer - 1)->size;
    if (count <= old) return pointer;
    void *fresh = mesh_malloc(count, user);
    if (fresh) {
        memcpy(fresh, pointer, old);
        mesh_free(pointer, user);
    }
    return fresh;
}

/* nghttp2 copies the five pointers into each session. */
static inline nghttp2_mem *mesh_nghttp2_mem(void) {
    static nghttp2_mem mem = {NULL, mesh_malloc, mesh_free, mesh_calloc, mesh_realloc};
    return &mem;
}

/* Room for `count` name-value pairs, valid on this thread until the next call. nghttp2 copies what it is given. */
static inline nghttp2_nv *mesh_header_scratch(size_t count) {
    static _Thread_local nghttp2_nv *scratch;
    static _Thread_local size_t capacity;
    if (count > capacity) {
        free(scratch);
        capacity = count < 128 ? 128 : count;
        scratch = (nghttp2_nv *)malloc(capacity * sizeof(nghttp2_nv));
        if (!scratch) abort();
    }
    return scratch;
}
