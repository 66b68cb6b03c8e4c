/* data_cut - finds how much of a damaged log can be kept, as a plan (data_view.h).
 *
 *   which segments --> read: no fault --> all of them
 *                       |  a fault before anything needed: without what lies before the start
 *                       +  a fault: the block it is in, taken as it is --> cut behind its last good record
 *
 *   M1  what is kept is what reading gives up to the first record that is damaged, does not follow, or is
 *       not there.
 *
 * It never writes. Owner: one thread. */
#ifndef KVDB_NODE_DATA_CUT_H
#define KVDB_NODE_DATA_CUT_H

#include "node/data_read.h"
#include "node/data_view.h"

typedef struct {
    const data_place_t *place;   /* borrowed */
    const data_survey_t *survey; /* borrowed */
    bool without_snapshot;
    uint64_t start_lsn;   /* where the log has to begin */
    data_plan_t plan;     /* the answer */
    size_t start;         /* the segment in which start_lsn lies */
    uint64_t cut_lsn;     /* with plan.cut_offset */
    uint64_t rest_offset; /* in the segment that is cut: behind the block that is cut */
} data_cut_t;

/* The first four are given. KV_CORRUPT: the log does not reach back to start_lsn. KV_IO. */
KV_CHECK_RESULT kv_status_t data_cut_find (data_cut_t *self, file_error_t *why);

/* Reads the directory as planned; the caller frees the state. `any_end`: see data_read.h. */
data_state_t *data_cut_read (const data_cut_t *self, bool any_end);

#endif
