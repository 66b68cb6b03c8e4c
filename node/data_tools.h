/* data_tools - what kvdb-node does with a data directory of which no node runs: --check, --repair, --dump.
 *
 *   exit status  0  sound; repaired; dumped
 *                1  faults; it cannot be repaired, or read; the output cannot be written
 *                2  not begun: no such directory, nothing of a node in it, or somebody uses it
 *
 *   L1  the directory's lock is held meanwhile, as a node holds it; and the snapshot's, where it is named.
 *   L2  but for the lock, only a repair writes.
 *
 * What is found goes to stdout, what keeps it from being done to stderr. Owner: the main thread. */
#ifndef KVDB_NODE_DATA_TOOLS_H
#define KVDB_NODE_DATA_TOOLS_H

typedef enum { DATA_CHECK, DATA_REPAIR, DATA_DUMP, DATA_DUMP_LOG } data_tool_t;

/* `snapshot_path`: NULL: snapshot.dat in the directory. Returns the exit status. */
int data_tool_run (data_tool_t tool, const char *directory, const char *snapshot_path);

#endif
