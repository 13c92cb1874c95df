#define _GNU_SOURCE
#include "CNeedleShim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/filter.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <malloc.h>
#include <sched.h>
#include <spawn.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

int needle_ignore_port(int fd, uint32_t port_id) {
    // nlmsg_pid is at offset 12 in host order; BPF loads big-endian.
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 12),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ntohl(port_id), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    return needle_attach_filter(fd, code, 4);
}

int needle_peer(int fd, int32_t *process, uint32_t *user) {
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return -errno;
    *process = peer.pid;
    *user = peer.uid;
    return 0;
}

int needle_attach_filter(int fd, const void *instructions, unsigned short count) {
    struct sock_fprog program = {.len = count, .filter = (struct sock_filter *)instructions};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) ? -errno : 0;
}

int needle_join_network_namespace(int fd) { return setns(fd, CLONE_NEWNET) ? -errno : 0; }

int needle_new_network_namespace(void) { return unshare(CLONE_NEWNET) ? -errno : 0; }

int needle_spawn_close_from(void *actions, int first) {
    return -posix_spawn_file_actions_addclosefrom_np(actions, first);
}

int needle_open_tun(const char *name) {
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return -errno;
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (ioctl(fd, TUNSETIFF, &request) == 0) return fd;
    int error = errno;
    close(fd);
    return -error;
}

// Segments that are not writable have no relocations, so the file has what is dropped here.
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
static int drop_read_only_pages(struct dl_phdr_info *object, size_t size, void *context) {
    (void)size;
    (void)context;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || segment->p_flags & PF_W) continue;
        uintptr_t begin = (object->dlpi_addr + segment->p_vaddr + page - 1) & -page;
        uintptr_t end = (object->dlpi_addr + segment->p_vaddr + segment->p_memsz) & -page;
        if (begin < end) madvise((void *)begin, end - begin, MADV_DONTNEED);
    }
    return 0;
}
#endif

void needle_keep_memory_together(void) {
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
    mallopt(M_ARENA_MAX, 1);
    // A fixed threshold: glibc raises it to the largest buffer that was ever freed.
    mallopt(M_MMAP_THRESHOLD, 128 << 10);
    mallopt(M_TRIM_THRESHOLD, 1 << 20);
#endif
}

void needle_release_free_memory(void) {
// Sanitizers allocate themselves. glibc's allocator would then be used here first, by two threads
// at once, and it expects that there is one thread when it starts.
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
    malloc_trim(0);
    dl_iterate_phdr(drop_read_only_pages, NULL);
#endif
}

CURLcode needle_curl_set_long(CURL *handle, CURLoption option, long value) {
    return curl_easy_setopt(handle, option, value);
}

CURLcode needle_curl_set_string(CURL *handle, CURLoption option, const char *value) {
    return curl_easy_setopt(handle, option, value);
}

CURLcode needle_curl_set_pointer(CURL *handle, CURLoption option, void *value) {
    return curl_easy_setopt(handle, option, value);
}

CURLcode needle_curl_set_blob(CURL *handle, CURLoption option, const void *data, size_t length) {
    struct curl_blob blob = {.data = (void *)data, .len = length, .flags = CURL_BLOB_COPY};
    return curl_easy_setopt(handle, option, &blob);
}

CURLcode needle_curl_set_write(
    CURL *handle, size_t (*callback)(char *, size_t, size_t, void *), void *context) {
    CURLcode code = curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, callback);
    return code ? code : curl_easy_setopt(handle, CURLOPT_WRITEDATA, context);
}

CURLcode needle_curl_set_body(CURL *handle, const void *data, size_t length) {
    CURLcode code = curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)length);
    return code ? code : curl_easy_setopt(handle, CURLOPT_COPYPOSTFIELDS, data);
}

const char *needle_curl_content_type(CURL *handle) {
    char *type = NULL;
    curl_easy_getinfo(handle, CURLINFO_CONTENT_TYPE, &type);
    return type;
}

long needle_curl_response_code(CURL *handle) {
    long code = 0;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &code);
    return code;
}

const char *needle_curl_peer(CURL *handle, long *port) {
    char *address = NULL;
    curl_easy_getinfo(handle, CURLINFO_PRIMARY_IP, &address);
    curl_easy_getinfo(handle, CURLINFO_PRIMARY_PORT, port);
    return address;
}

long needle_curl_retry_after(CURL *handle) {
    curl_off_t seconds = 0;
    curl_easy_getinfo(handle, CURLINFO_RETRY_AFTER, &seconds);
    return (long)seconds;
}

long needle_curl_received(CURL *handle) {
    long headers = 0;
    curl_off_t body = 0;
    curl_easy_getinfo(handle, CURLINFO_HEADER_SIZE, &headers);
    curl_easy_getinfo(handle, CURLINFO_SIZE_DOWNLOAD_T, &body);
    return headers + (long)body;
}

long needle_curl_sent(CURL *handle) {
    long request = 0;
    curl_easy_getinfo(handle, CURLINFO_REQUEST_SIZE, &request);
    return request;
}

void needle_curl_break_connection(CURL *handle) {
    curl_socket_t socket = CURL_SOCKET_BAD;
    curl_easy_getinfo(handle, CURLINFO_ACTIVESOCKET, &socket);
    if (socket != CURL_SOCKET_BAD) shutdown(socket, SHUT_RDWR);
}

int needle_inotify_open(void) {
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

int needle_inotify_watch(int fd, const char *path) {
    uint32_t ends = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF
        | IN_MOVE_SELF | IN_CREATE;
    return inotify_add_watch(fd, path, ends) < 0 ? -errno : 0;
}

int needle_epoll_open(void) {
    int fd = epoll_create1(EPOLL_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int needle_epoll_watch(int fd, int file, uint64_t token, unsigned new_bits, unsigned old_bits) {
    if (new_bits == old_bits) return 0;
    struct epoll_event event = {
        .events = (new_bits & NEEDLE_READING ? EPOLLIN : 0) | (new_bits & NEEDLE_WRITING ? EPOLLOUT : 0),
        .data.u64 = token,
    };
    int operation = !new_bits ? EPOLL_CTL_DEL : !old_bits ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    return epoll_ctl(fd, operation, file, &event) < 0 ? -errno : 0;
}

int needle_epoll_wait(int fd, uint64_t *tokens, unsigned *bits, int capacity, int milliseconds) {
    struct epoll_event events[256];
    int count = epoll_wait(fd, events, capacity < 256 ? capacity : 256, milliseconds);
    if (count < 0) return -errno;
    for (int i = 0; i < count; i++) {
        uint32_t ready = events[i].events;
        tokens[i] = events[i].data.u64;
        bits[i] = (ready & EPOLLIN ? NEEDLE_READING : 0) | (ready & EPOLLOUT ? NEEDLE_WRITING : 0)
            | (ready & (EPOLLERR | EPOLLHUP) ? NEEDLE_FAILED : 0);
    }
    return count;
}
