#pragma once
#include <nghttp2/nghttp2.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Memory for nghttp2, kept per thread: an outbound frame or a stream costs two pointer moves instead of a malloc and
   a free, and an idle session the pages that it touches and no more. A session lives on one thread, and with it every
   block of it. Each block is preceded by its header. */

typedef struct {
    size_t size; /* bytes that fit the block */
    void *slot;  /* the slot that the block is part of, or NULL */
} mesh_block;

/* Small blocks, by size in steps of 32 bytes; each list keeps up to 128 KiB, the rest goes back to malloc. */
enum { MESH_STEP = 32, MESH_CLASSES = 64, MESH_CLASS_BYTES = 128 * 1024 };

/* Where a session lives: its struct (2.9 KiB) and the frame buffer (16 KiB, of which little is ever written but the
   front) in five pages, so that both together touch one. malloc would spread them over two or three. */
enum { MESH_SLOT_BYTES = 20480, MESH_SLOT_SPLIT = 3008, MESH_SLOTS = 64, MESH_SLOTS_WARM = 64 };

typedef struct mesh_slot {
    struct mesh_slot *next;
    size_t blocks; /* blocks in use: 0, 1 or 2 */
} mesh_slot;

typedef struct {
    void *blocks[MESH_CLASSES + 1];
    uint32_t counts[MESH_CLASSES + 1];
    mesh_slot *slots;
    size_t slot_count;
    mesh_slot *open; /* its session struct was taken last; the frame buffer goes behind it */
} mesh_heap;

static inline mesh_heap *mesh_thread_heap(void) {
    static _Thread_local mesh_heap heap;
    return &heap;
}

static inline void *mesh_place(mesh_slot *slot, size_t from, size_t to) {
    mesh_block *block = (mesh_block *)((char *)slot + from);
    block->size = to - from - sizeof(mesh_block);
    block->slot = slot;
    slot->blocks += 1;
    return block + 1;
}

static inline mesh_slot *mesh_take_slot(mesh_heap *heap) {
    if (!heap->slots) {
        char *slab = (char *)mmap(NULL, (size_t)MESH_SLOTS * MESH_SLOT_BYTES, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (slab == (char *)MAP_FAILED) return NULL;
        madvise(slab, (size_t)MESH_SLOTS * MESH_SLOT_BYTES, MADV_NOHUGEPAGE);
        for (size_t index = MESH_SLOTS; index > 0; index--) {
            mesh_slot *slot = (mesh_slot *)(slab + (index - 1) * MESH_SLOT_BYTES);
            slot->next = heap->slots;
            heap->slots = slot;
        }
        heap->slot_count += MESH_SLOTS;
    }
    mesh_slot *slot = heap->slots;
    heap->slots = slot->next;
    heap->slot_count -= 1;
    slot->blocks = 0;
    return slot;
}

static inline void mesh_leave_slot(mesh_heap *heap, mesh_slot *slot) {
    slot->blocks -= 1;
    if (heap->open == slot) heap->open = NULL;
    if (slot->blocks > 0) return;
    if (heap->slot_count >= MESH_SLOTS_WARM) madvise((char *)slot + 4096, MESH_SLOT_BYTES - 4096, MADV_DONTNEED);
    slot->next = heap->slots;
    heap->slots = slot;
    heap->slot_count += 1;
}

static inline void *mesh_malloc(size_t count, void *user) {
    (void)user;
    mesh_heap *heap = mesh_thread_heap();
    size_t class = count == 0 ? 1 : (count - 1) / MESH_STEP + 1;
    if (class <= MESH_CLASSES) {
        void *taken = heap->blocks[class];
        if (taken) {
            memcpy(&heap->blocks[class], taken, sizeof(void *));
            heap->counts[class] -= 1;
            return taken;
        }
        count = class * MESH_STEP;
    } else if (heap->open && count > 16384 && count <= MESH_SLOT_BYTES - MESH_SLOT_SPLIT - sizeof(mesh_block)) {
        mesh_slot *slot = heap->open;
        heap->open = NULL;
        return mesh_place(slot, MESH_SLOT_SPLIT, MESH_SLOT_BYTES);
    }
    if (count > SIZE_MAX - sizeof(mesh_block)) return NULL;
    mesh_block *block = (mesh_block *)malloc(sizeof(mesh_block) + count);
    if (!block) return NULL;
    block->size = count;
    block->slot = NULL;
    return block + 1;
}

static inline void mesh_free(void *pointer, void *user) {
    (void)user;
    if (!pointer) return;
    mesh_heap *heap = mesh_thread_heap();
    mesh_block *block = (mesh_block *)pointer - 1;
    if (block->slot) {
        mesh_leave_slot(heap, (mesh_slot *)block->slot);
        return;
    }
    size_t class = block->size / MESH_STEP;
    if (class > MESH_CLASSES || heap->counts[class] * block->size >= MESH_CLASS_BYTES) {
        free(block);
        return;
    }
    memcpy(pointer, &heap->blocks[class], sizeof(void *));
    heap->blocks[class] = pointer;
    heap->counts[class] += 1;
}

static inline void *mesh_calloc(size_t count, size_t size, void *user) {
    if (size != 0 && count > SIZE_MAX / size) return NULL;
    size_t total = count * size;
    void *pointer = NULL;
    if (total > MESH_STEP * MESH_CLASSES && total <= MESH_SLOT_SPLIT - sizeof(mesh_slot) - sizeof(mesh_block)) {
        mesh_heap *heap = mesh_thread_heap();
        mesh_slot *slot = mesh_take_slot(heap);
        if (!slot) return NULL;
        heap->open = slot;
        pointer = mesh_place(slot, sizeof(mesh_slot), MESH_SLOT_SPLIT);
    } else {
        pointer = mesh_malloc(total, user);
    }
    if (pointer) memset(pointer, 0, total);
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
