/* reply_tree - builds the values of kvdb.h of the bytes of a reply.
 *
 *   nodes[0] root | nodes[1..n) | strings, each with a NUL behind it
 *
 *   T1  a reply is one allocation, and the root stands at its start: freeing the root frees all.
 *   T2  the children of a node are neighbours.
 *   T3  nothing in it refers to the bytes it was made of.
 *
 * Pure; owner: whoever holds the root. */
#ifndef KVDB_CLIENT_REPLY_TREE_H
#define KVDB_CLIENT_REPLY_TREE_H

#include "schema/reader.h"

#include "client/kvdb.h"

/* Makes an array of `commands` values of the reply in `body`; a refusal of the whole request stands
 * for each command. KV_OK; KV_BAD_VERSION; KV_CORRUPT: not a reply, or not to so many commands;
 * KV_OUT_OF_MEMORY. `root` is NULL unless KV_OK. */
KV_CHECK_RESULT kv_status_t reply_tree_batch (kv_slice_t body, uint32_t commands,
                                              kv_reply_t **root);

/* The same for a request of one command: the root is its value. */
KV_CHECK_RESULT kv_status_t reply_tree_single (kv_slice_t body, kv_reply_t **root);

/* The same of `count` results of a longer reply, that stand in `results` one after the other; one
 * error may stand for all `commands`. `single`: of one command, whose value is the root. */
KV_CHECK_RESULT kv_status_t reply_tree_results (kv_slice_t results, uint32_t count,
                                                uint32_t commands, bool single, kv_reply_t **root);

/* Reads the id of a reply and nothing else; false if there is none. */
bool reply_tree_id (kv_slice_t body, uint64_t *id);

#endif
