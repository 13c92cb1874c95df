#pragma once
#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h>
#include <curl/curl.h>

// What Swift cannot say: variadic functions, macros that are no constants, and calls that the
// Glibc module hides. No policy here. Functions return 0 or -errno unless noted.

/// Drops from a netlink socket's queue what was sent on behalf of this port ID.
int needle_ignore_port(int fd, uint32_t port_id);
/// Joins a network namespace that `/run/netns` or a process holds open.
int needle_join_network_namespace(int fd);
/// Moves the calling thread to a new network namespace.
int needle_new_network_namespace(void);

/// `curl_easy_setopt` with an argument of each kind.
CURLcode needle_curl_set_long(CURL *handle, CURLoption option, long value);
CURLcode needle_curl_set_string(CURL *handle, CURLoption option, const char *value);
CURLcode needle_curl_set_pointer(CURL *handle, CURLoption option, void *value);
CURLcode needle_curl_set_blob(CURL *handle, CURLoption option, const void *data, size_t length);
CURLcode needle_curl_set_write(
    CURL *handle, size_t (*callback)(char *, size_t, size_t, void *), void *context);
/// The body of a request, which curl copies.
CURLcode needle_curl_set_body(CURL *handle, const void *data, size_t length);
/// The answer's Content-Type, until the handle is used again; NULL without one.
const char *needle_curl_content_type(CURL *handle);
long needle_curl_response_code(CURL *handle);
/// The address to which it is connected, and the port; NULL or empty without a connection.
const char *needle_curl_peer(CURL *handle, long *port);
/// Seconds of a Retry-After header; 0 without one.
long needle_curl_retry_after(CURL *handle);

/// Gives the allocator's free memory back to the system.
void needle_release_free_memory(void);

/// `inotify_init1` (a descriptor or -errno) and a watch for what ends a change to a file.
int needle_inotify_open(void);
int needle_inotify_watch(int fd, const char *path);

enum { NEEDLE_READING = 1, NEEDLE_WRITING = 2, NEEDLE_FAILED = 4 };
/// `epoll_create1`: a descriptor or -errno.
int needle_epoll_open(void);
/// Watches a file for these bits instead of those; for none, it is not watched at all.
int needle_epoll_watch(int fd, int file, uint64_t token, unsigned new_bits, unsigned old_bits);
/// Waits, and fills in the tokens of the files that are ready, and for what; returns how many.
int needle_epoll_wait(int fd, uint64_t *tokens, unsigned *bits, int capacity, int milliseconds);
