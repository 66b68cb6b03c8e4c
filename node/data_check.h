/* data_check - tells what a data directory holds, and all that is wrong with it. It never writes.
 *
 *   snapshot  snapshot.dat: ...
 *   segment   wal-0000000003.log: ...          one line for each file
 *   log       records, lsn A to B
 *   shards    SHARD:EPOCH/N ...                positions of the last records
 *   tail      what was being written as the power went; it is dropped at the next start
 *   note      what is odd and does not matter
 *   fault     what recovery refuses: file, offset
 *
 * Owner: one thread. */
#ifndef KVDB_NODE_DATA_CHECK_H
#define KVDB_NODE_DATA_CHECK_H

#include "node/data_output.h"
#include "node/data_read.h"

/* How many faults; 0: recovery accepts the directory. */
uint64_t data_check (const data_place_t *place, const data_output_t *out);

#endif
