#pragma once
// `import Glibc` shows none of these to Swift. No _GNU_SOURCE here: with it, types that both modules hold would differ.
#include <elf.h>
#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/un.h>
#include <unistd.h>

/// errno as a value: the macro is a function call that Swift cannot see.
static inline int linux_errno(void) { return errno; }

/// Registers, changes or forgets `fd` with `user` as its data; `struct epoll_event` is packed, which Swift cannot spell.
static inline int linux_epoll_control(int epoll, int operation, int fd, uint32_t events, void *user) {
    struct epoll_event event = {.events = events, .data.ptr = user};
    return epoll_ctl(epoll, operation, fd, &event);
}

static inline uint32_t linux_event_flags(const struct epoll_event *events, int index) { return events[index].events; }
static inline void *linux_event_user(const struct epoll_event *events, int index) { return events[index].data.ptr; }

extern int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);

/// Non-blocking, close-on-exec sockets only.
static inline int linux_socket(int family) { return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }
static inline int linux_accept(int fd, struct sockaddr *address, socklen_t *length) {
    return accept4(fd, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/// Where a connection was going before netfilter redirected it (linux/netfilter_ipv4.h, netfilter_ipv6/ip6_tables.h,
/// whose headers clash with netinet/in.h): SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST are both 80.
static inline int linux_original_destination(int fd, int family, struct sockaddr_storage *address) {
    socklen_t length = sizeof *address;
    return getsockopt(fd, family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP, 80, address, &length);
}

/// The calling thread may run on these processors, as many as fit the mask; returns how many, or -1.
static inline long linux_affinity(uint64_t *mask, int words) {
    long bytes = syscall(SYS_sched_getaffinity, 0, words * sizeof *mask, mask);
    if (bytes < 0) return -1;
    long count = 0;
    for (long word = 0; word < bytes / (long)sizeof *mask; word++) count += __builtin_popcountll(mask[word]);
    return count;
}

/// Keeps the calling thread on processor `cpu`; 0, or -1 with errno.
static inline int linux_pin(int cpu) {
    uint64_t mask[16] = {0};
    if (cpu < 0 || cpu >= 1024) { errno = EINVAL; return -1; }
    mask[cpu / 64] = (uint64_t)1 << cpu % 64;
    return (int)syscall(SYS_sched_setaffinity, 0, sizeof mask, mask);
}

/// Names the calling thread; the kernel keeps 15 bytes.
static inline void linux_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

/// `struct dl_phdr_info` of link.h as far as it is used here; link.h has it only with _GNU_SOURCE.
struct linux_object {
    Elf64_Addr base;
    const char *name;
    const Elf64_Phdr *headers;
    Elf64_Half header_count;
};
extern int dl_iterate_phdr(int (*visit)(struct linux_object *, size_t, void *), void *user);

/// Drops the pages of what is mapped from a file and was never writable: a later use reads them from the file again.
/// What relocation wrote to lies in writable segments, and is left alone.
static inline int linux_drop_clean_pages(struct linux_object *object, size_t size, void *user) {
    (void)size; (void)user;
    const Elf64_Addr page = (Elf64_Addr)sysconf(_SC_PAGESIZE);
    for (int index = 0; index < object->header_count; index++) {
        const Elf64_Phdr *header = &object->headers[index];
        if (header->p_type != PT_LOAD || header->p_flags & PF_W) continue;
        Elf64_Addr start = (object->base + header->p_vaddr) & ~(page - 1);
        Elf64_Addr end = (object->base + header->p_vaddr + header->p_filesz + page - 1) & ~(page - 1);
        madvise((void *)start, end - start, MADV_DONTNEED);
    }
    return 0;
}
static inline void linux_drop_startup_pages(void) { dl_iterate_phdr(linux_drop_clean_pages, NULL); }

extern int execvpe(const char *file, char *const argv[], char *const envp[]);
extern int pipe2(int ends[2], int flags);

/// Runs `argv` as a child: in a process group of its own, with no signal blocked and none ignored. It is told to end
/// (SIGTERM) if the calling thread goes. Its process id, or the error number negated: also where the program cannot be
/// run.
static inline int linux_spawn(char *const argv[], char *const envp[]) {
    int ends[2];
    if (pipe2(ends, 02000000 /* O_CLOEXEC */) != 0) return -errno;
    const pid_t parent = getpid();
    const pid_t child = fork();
    if (child == 0) {
        // Only calls that are safe between fork and exec in a process with threads (signal-safety(7)).
        int code;
        sigset_t none;
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent) _exit(127);
        for (int number = 1; number < 32; number++)
            if (number != SIGKILL && number != SIGSTOP) signal(number, SIG_DFL);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, 0);
        execvpe(argv[0], argv, envp);
        code = errno;
        if (write(ends[1], &code, sizeof code) < 0) _exit(126);
        _exit(127);
    }
    const int failed = errno;
    close(ends[1]);
    if (child < 0) { close(ends[0]); return -failed; }
    int code = 0;
    ssize_t count;
    do count = read(ends[0], &code, sizeof code); while (count < 0 && errno == EINTR);
    close(ends[0]);
    setpgid(child, child);
    return count == (ssize_t)sizeof code ? -code : child;
}
