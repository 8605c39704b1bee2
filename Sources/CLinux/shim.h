#pragma once
// `import Glibc` shows none of these to Swift. No _GNU_SOURCE here: with it, types that both modules hold would differ.
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>

/// errno as a value: the macro is a function call that Swift cannot see.
static inline int linux_errno(void) { return errno; }

/// Registers `fd` with `user` as its data; `struct epoll_event` is packed, which Swift cannot spell.
static inline int linux_epoll_add(int epoll, int fd, uint32_t events, void *user) {
    struct epoll_event event = {.events = events, .data.ptr = user};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static inline uint32_t linux_event_flags(const struct epoll_event *events, int index) { return events[index].events; }
static inline void *linux_event_user(const struct epoll_event *events, int index) { return events[index].data.ptr; }

extern int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);

/// Non-blocking, close-on-exec sockets only.
static inline int linux_socket(int family) { return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }
static inline int linux_accept(int fd, struct sockaddr *address, socklen_t *length) {
    return accept4(fd, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}
