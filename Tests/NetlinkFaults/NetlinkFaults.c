// Stands between a program and its netlink sockets, and makes them fail or ends the program.
//
// NETLINK_FAULTS says what to do:
//   kill N                  SIGKILL at the Nth point; there is one before and one after each message that is sent, except dumps
//   fail SEED PERCENT CALLS of the first CALLS calls, PERCENT fail, chosen by SEED
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static ssize_t (*real_sendto)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
static ssize_t (*real_recvmsg)(int, struct msghdr *, int);
static unsigned long long kill_at, seed, percent, last_call;
static atomic_ullong points, calls;

__attribute__((constructor)) static void begin(void)
{
    real_sendto = dlsym(RTLD_NEXT, "sendto");
    real_recvmsg = dlsym(RTLD_NEXT, "recvmsg");
    const char *text = getenv("NETLINK_FAULTS");
    if (text == NULL || sscanf(text, "kill %llu", &kill_at) == 1) return;
    if (sscanf(text, "fail %llu %llu %llu", &seed, &percent, &last_call) != 3) abort();
}

static bool is_netlink(int fd)
{
    int domain = 0;
    socklen_t length = sizeof domain;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_NETLINK;
}

static void pass_point(const struct nlmsghdr *message)
{
    if (kill_at == 0 || (message->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP) return;
    if (atomic_fetch_add(&points, 1) + 1 != kill_at) return;
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

// The error with which this call fails; 0: none. Numbers of SplitMix64, by the number of the call.
static int next_error(void)
{
    static const int errors[] = { ENOBUFS, EINTR, ENOMEM, EBUSY, EAGAIN };
    unsigned long long call = atomic_fetch_add(&calls, 1);
    if (call >= last_call) return 0;
    uint64_t mixed = (seed << 20) + (call + 1) * 0x9E3779B97F4A7C15;
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9;
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB;
    mixed ^= mixed >> 31;
    if (mixed % 100 >= percent) return 0;
    return errors[(mixed >> 32) % (sizeof errors / sizeof *errors)];
}

ssize_t sendto(
    int fd, const void *bytes, size_t count, int flags, const struct sockaddr *address, socklen_t length)
{
    bool is_struck = is_netlink(fd);
    if (is_struck) pass_point(bytes);
    int error = is_struck ? next_error() : 0;
    if (error != 0) {
        errno = error;
        return -1;
    }
    ssize_t result = real_sendto(fd, bytes, count, flags, address, length);
    // The kernel has done by now what the message says.
    if (is_struck) {
        error = errno;
        pass_point(bytes);
        errno = error;
    }
    return result;
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    int error = is_netlink(fd) ? next_error() : 0;
    // Without room for a message the kernel tells that one was lost.
    if (error == ENOBUFS) real_recvmsg(fd, message, flags | MSG_DONTWAIT);
    if (error != 0) {
        errno = error;
        return -1;
    }
    return real_recvmsg(fd, message, flags);
}
