/* handover - tells the thread sanitizer what libzmq, which is not instrumented, does not: that what
 * one thread did with some memory before it sent a message happened before what another does with
 * it after it received that message, or after libzmq has let go of it.
 *
 * A token per message (its data), never one for all: a shared token would hide real races. Without
 * the sanitizer this is nothing. */
#ifndef KVDB_ACTORS_HANDOVER_H
#define KVDB_ACTORS_HANDOVER_H

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define KV_THREAD_SANITIZER 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define KV_THREAD_SANITIZER 1
#endif

#ifdef KV_THREAD_SANITIZER
void __tsan_acquire (void *token);
void __tsan_release (void *token);
#endif

/* Before the message that carries `token` is sent. */
static inline void handover_give (void *token)
{
#ifdef KV_THREAD_SANITIZER
    __tsan_release (token);
#else
    (void)token;
#endif
}

/* After it was received, or in the function that libzmq calls to free it. */
static inline void handover_take (void *token)
{
#ifdef KV_THREAD_SANITIZER
    __tsan_acquire (token);
#else
    (void)token;
#endif
}

#endif
