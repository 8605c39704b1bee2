/* The catalogue: a small HTTP/1.1 server in C, a thread per connection. Usage: catalog PORT
 *
 * It answers every request with JSON about itself and the request. It serves the demo behind a gateway, which has
 * checked the request already: heads up to 16 KiB, bodies with Content-Length only.
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
#include <strings.h>
#include <unistd.h>

enum { HEAD_LIMIT = 16 * 1024, JSON_LIMIT = 8 * HEAD_LIMIT };

/* Bytes received and not used yet. */
struct connection {
    int fd;
    size_t count;
    char bytes[HEAD_LIMIT + 1];
};

/* Text under construction; what does not fit is cut. */
struct text {
    size_t count;
    char bytes[JSON_LIMIT];
};

static void add(struct text *text, const char *bytes, size_t count) {
    if (count > sizeof text->bytes - text->count) count = sizeof text->bytes - text->count;
    memcpy(text->bytes + text->count, bytes, count);
    text->count += count;
}

static void add_string(struct text *text, const char *string) { add(text, string, strlen(string)); }

/* Adds a JSON string. */
static void add_quoted(struct text *text, const char *bytes, size_t count) {
    add_string(text, "\"");
    for (size_t i = 0; i < count; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        char escape[8];
        if (byte == '"' || byte == '\\') {
            snprintf(escape, sizeof escape, "\\%c", byte);
            add_string(text, escape);
        } else if (byte < 0x20 || byte > 0x7e) {
            snprintf(escape, sizeof escape, "\\u%04x", byte);
            add_string(text, escape);
        } else {
            add(text, bytes + i, 1);
        }
    }
    add_string(text, "\"");
}

/* Receives until there is a whole head, and returns its length with the empty line; 0 at the end. */
static size_t receive_head(struct connection *connection) {
    for (;;) {
        connection->bytes[connection->count] = 0;
        char *end = strstr(connection->bytes, "\r\n\r\n");
        if (end) return (size_t)(end - connection->bytes) + 4;
        if (connection->count == HEAD_LIMIT) return 0;
        ssize_t count =
            recv(connection->fd, connection->bytes + connection->count, HEAD_LIMIT - connection->count, 0);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return 0;
        connection->count += (size_t)count;
    }
}

/* Drops the first `count` received bytes. */
static void use(struct connection *connection, size_t count) {
    memmove(connection->bytes, connection->bytes + count, connection->count - count);
    connection->count -= count;
}

/* Receives and drops a body; 0 if the connection ends before. */
static int skip_body(struct connection *connection, unsigned long long rest) {
    while (rest > 0) {
        if (connection->count == 0) {
            ssize_t count = recv(connection->fd, connection->bytes, HEAD_LIMIT, 0);
            if (count < 0 && errno == EINTR) continue;
            if (count <= 0) return 0;
            connection->count = (size_t)count;
        }
        size_t used = connection->count < rest ? connection->count : (size_t)rest;
        use(connection, used);
        rest -= used;
    }
    return 1;
}

static int send_all(int fd, const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return 0;
        bytes += sent;
        count -= (size_t)sent;
    }
    return 1;
}

/* Adds the header lines between `line` and `end` as a JSON object; sets what of them matters here. */
static void add_headers(
    struct text *json, char *line, char *end, unsigned long long *body, int *last) {
    const char *separator = "";
    add_string(json, "{");
    while (line < end) {
        char *line_end = strstr(line, "\r\n");
        char *colon = memchr(line, ':', (size_t)(line_end - line));
        if (colon) {
            char *value = colon + 1 + strspn(colon + 1, " \t");
            for (char *c = line; c < colon; c++) if (*c >= 'A' && *c <= 'Z') *c |= 0x20;
            add_string(json, separator);
            add_quoted(json, line, (size_t)(colon - line));
            add_string(json, ": ");
            add_quoted(json, value, (size_t)(line_end - value));
            separator = ", ";
            if (!strncmp(line, "content-length:", 15)) *body = strtoull(value, NULL, 10);
            if (!strncmp(line, "connection:", 11) && !strncasecmp(value, "close", 5)) *last = 1;
        }
        line = line_end + 2;
    }
    add_string(json, "}");
}

/* Answers one request; 0 if the connection is to be closed. */
static int serve_request(struct connection *connection, struct text *json) {
    size_t length = receive_head(connection);
    if (length == 0) return 0;
    char *line_end = strstr(connection->bytes, "\r\n");
    char *path = memchr(connection->bytes, ' ', (size_t)(line_end - connection->bytes));
    char *path_end = path ? memchr(path + 1, ' ', (size_t)(line_end - path - 1)) : NULL;
    if (!path_end) return 0;
    int is_head = !strncmp(connection->bytes, "HEAD ", 5);

    unsigned long long body = 0;
    int last = 0;
    json->count = 0;
    add_string(json, "{\"service\": \"catalog\", \"language\": \"C\", \"method\": ");
    add_quoted(json, connection->bytes, (size_t)(path - connection->bytes));
    add_string(json, ", \"path\": ");
    add_quoted(json, path + 1, (size_t)(path_end - path - 1));
    add_string(json, ", \"headers\": ");
    add_headers(json, line_end + 2, connection->bytes + length - 2, &body, &last);
    add_string(json, "}\n");
    use(connection, length);
    if (!skip_body(connection, body)) return 0;

    char head[160];
    int head_length = snprintf(
        head, sizeof head, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n%s\r\n",
        json->count, last ? "connection: close\r\n" : "");
    if (!send_all(connection->fd, head, (size_t)head_length)) return 0;
    return (is_head || send_all(connection->fd, json->bytes, json->count)) && !last;
}

static void *serve(void *argument) {
    int fd = (int)(intptr_t)argument;
    struct connection *connection = malloc(sizeof *connection);
    struct text *json = malloc(sizeof *json);
    if (connection && json) {
        connection->fd = fd;
        connection->count = 0;
        while (serve_request(connection, json)) {}
    }
    free(connection);
    free(json);
    close(fd);
    return NULL;
}

static int listen_on(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 128)) {
        fprintf(stderr, "catalog: cannot listen on port %d: %s\n", port, strerror(errno));
        exit(1);
    }
    return fd;
}

int main(int count, char **arguments) {
    if (count != 2) {
        fprintf(stderr, "usage: catalog PORT\n");
        return 2;
    }
    int listener = listen_on(atoi(arguments[1]));
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) continue;
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        pthread_t thread;
        if (pthread_create(&thread, &detached, serve, (void *)(intptr_t)fd)) close(fd);
    }
}
