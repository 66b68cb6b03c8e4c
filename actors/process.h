/* process - what a main needs around its actor: log lines on stderr, signals, the messaging context.
 *
 *   int main (...)
 *   {
 *       process_begin ();
 *       ... read the options ...
 *       log_t log = process_log (KV_LOG_INFO);
 *       return process_run (kv_broker_actor, &options, &log);
 *   }
 *
 *                  READY              SIGTERM, SIGINT, SIGHUP: "$TERM"
 *   STARTING ----------------> RUNNING --------------------------------> STOPPING
 *      |                          |                                          |
 *      +------ FAILED, STOPPED, or the actor's thread returns, in any state -+----> the end
 *
 *   S1  signals are blocked in every thread and read by process_run only: no system call of an
 *       actor is ever interrupted, no handler runs.
 *   S2  process_run returns only after the actor's function has returned.
 *
 * For programs of our own; a program that embeds an actor keeps its own signals and calls none of
 * this but zsys_handler_set (NULL). Owner: the main thread. */
#ifndef KVDB_ACTORS_PROCESS_H
#define KVDB_ACTORS_PROCESS_H

#include "actors/log.h"

#include <czmq.h>

/* Blocks the signals, switches czmq's handler off, allows as many open files as the system does,
 * seeds rand () for libzmq, and tunes the context (zsys_init). Call it first: threads that exist already keep their signals. */
void process_begin (void);

/* Blocks all signals but those of faults in the calling thread; for actors, in whatever program. */
void process_block_signals (void);

/* Lines like `2024-05-01T12:00:00.123Z INFO event=...` on stderr, each in one write. */
log_t process_log (log_level_t least);

/* Runs the actor until it ends, as its pipe says (zactor):
 *
 *   "READY", text...    it serves
 *   "STOPPED", reason   it ends, as intended: exit status 0
 *   "FAILED", reason    it ends, for a fault: exit status 1 (also if it ends without a word)
 *
 * A second signal while it stops ends the process at once, with status 128 + the signal's number.
 * Ends the context too; returns the exit status. */
int process_run (zactor_fn *actor, void *args, const log_t *log);

#endif
