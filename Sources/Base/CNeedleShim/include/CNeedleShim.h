#pragma once
#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h>
#include <curl/curl.h>

// Calls that Swift cannot make: variadic functions, macros that are not constants, and functions
// that the Glibc module hides. There is no policy here. Functions return 0 or -errno unless noted.

/// Makes a netlink socket drop messages whose nlmsg_pid is this port ID.
int needle_ignore_port(int fd, uint32_t port_id);
/// The process (0 in another PID namespace) and the user that listen at the other end of a Unix socket.
int needle_peer(int fd, int32_t *process, uint32_t *user);
/// Attaches a classic BPF program, an array of `struct sock_filter`, to a socket.
int needle_attach_filter(int fd, const void *instructions, unsigned short count);
/// Moves the calling thread to the network namespace that this descriptor refers to.
int needle_join_network_namespace(int fd);
/// Moves the calling thread to a new network namespace.
int needle_new_network_namespace(void);

/// Makes a program that is started close its descriptors from this number on; takes a
/// posix_spawn_file_actions_t.
int needle_spawn_close_from(void *actions, int first);

/// Makes a TUN device, without packet information, in this thread's network namespace; returns its
/// descriptor or -errno.
int needle_open_tun(const char *name);

/// `curl_easy_setopt`, one function for each kind of argument.
CURLcode needle_curl_set_long(CURL *handle, CURLoption option, long value);
CURLcode needle_curl_set_string(CURL *handle, CURLoption option, const char *value);
CURLcode needle_curl_set_pointer(CURL *handle, CURLoption option, void *value);
CURLcode needle_curl_set_blob(CURL *handle, CURLoption option, const void *data, size_t length);
CURLcode needle_curl_set_write(
    CURL *handle, size_t (*callback)(char *, size_t, size_t, void *), void *context);
/// Sets the body of a request; curl copies it.
CURLcode needle_curl_set_body(CURL *handle, const void *data, size_t length);
/// The Content-Type of the response, valid until the handle is used again; NULL if there is none.
const char *needle_curl_content_type(CURL *handle);
long needle_curl_response_code(CURL *handle);
/// The address and the port of the connected peer; NULL or empty without a connection.
const char *needle_curl_peer(CURL *handle, long *port);
/// The seconds of the Retry-After header; 0 without one.
long needle_curl_retry_after(CURL *handle);
/// The bytes of headers and bodies that were received or sent so far.
long needle_curl_received(CURL *handle);
long needle_curl_sent(CURL *handle);
/// Shuts down the connection that the transfer has used last, with all that use it.
void needle_curl_break_connection(CURL *handle);

/// Makes the allocator of a process that has just started keep its memory together: one heap for all
/// threads, and large buffers outside of it, which the system gets back at once.
void needle_keep_memory_together(void);

/// Returns the allocator's free memory to the system, and takes the program's read-only pages out of
/// the process: those that are needed again come back from the page cache, and most are not, since
/// they are code that has done its work.
void needle_release_free_memory(void);

/// `inotify_init1`, which returns a descriptor or -errno, and a watch for file changes.
int needle_inotify_open(void);
int needle_inotify_watch(int fd, const char *path);

enum { NEEDLE_READING = 1, NEEDLE_WRITING = 2, NEEDLE_FAILED = 4 };
/// `epoll_create1`, which returns a descriptor or -errno.
int needle_epoll_open(void);
/// Changes the watched events of a file from the old bits to the new ones; 0 ends the watch.
int needle_epoll_watch(int fd, int file, uint64_t token, unsigned new_bits, unsigned old_bits);
/// Waits for events, stores the token and the ready bits of each file, and returns their number or
/// -errno.
int needle_epoll_wait(int fd, uint64_t *tokens, unsigned *bits, int capacity, int milliseconds);
