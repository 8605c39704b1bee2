/* The catalogue, compiled: answers every GET with who it is. A thread per connection. Usage: catalog PORT
 *
 * It stands behind a proxy that has checked requests already: heads of at most 16 KiB, no bodies.
 *
 *     cc -O2 -pthread -o catalog catalog.c
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEAD_LIMIT = 16 * 1024 };

static char answer[256];
static size_t answer_length;

/* Answers heads as they come, until the other side or a fault ends it. */
static void *serve(void *argument) {
    int fd = (int)(intptr_t)argument;
    char *bytes = malloc(HEAD_LIMIT + 1);
    size_t count = 0;
    while (bytes && count < HEAD_LIMIT) {
        ssize_t received = recv(fd, bytes + count, HEAD_LIMIT - count, 0);
        if (received < 0 && errno == EINTR) continue;
        if (received <= 0) break;
        count += (size_t)received;
        bytes[count] = 0;
        for (char *end; (end = strstr(bytes, "\r\n\r\n"));) {
            size_t used = (size_t)(end - bytes) + 4;
            memmove(bytes, bytes + used, count - used + 1);
            count -= used;
            if (send(fd, answer, answer_length, MSG_NOSIGNAL) != (ssize_t)answer_length) goto done;
        }
    }
done:
    free(bytes);
    close(fd);
    return NULL;
}

int main(int count, char **arguments) {
    if (count != 2) {
        fprintf(stderr, "usage: catalog PORT\n");
        return 2;
    }
    char body[128];
    int body_length = snprintf(
        body, sizeof body, "{\"service\": \"catalog\", \"language\": \"C\", \"instance\": %d}\n", atoi(arguments[1]));
    answer_length = (size_t)snprintf(
        answer, sizeof answer, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s",
        body_length, body);

    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(arguments[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 128)) {
        fprintf(stderr, "catalog: cannot listen on port %s: %s\n", arguments[1], strerror(errno));
        return 1;
    }
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd)) close(fd);
        else pthread_detach(thread);
    }
}
