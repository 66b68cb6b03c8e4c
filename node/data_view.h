/* data_view - a data directory as a repair would leave it, to be read before anything is changed.
 *
 *   wal-1  wal-2  wal-3  wal-4  wal-5          the segments that are there
 *          [ first .. +count  ]                those that stay
 *                        |
 *                     cut_offset               from here on the last of them is zero
 *
 *   O1  a repair copies what changes out of a view: what was judged is what is written.
 *   O2  segments that do not stay are not there; the other files are as they are.
 *
 * It is only read from. Owner: one thread. */
#ifndef KVDB_NODE_DATA_VIEW_H
#define KVDB_NODE_DATA_VIEW_H

#include "node/data_survey.h"

typedef struct {
    const data_survey_t *survey; /* borrowed */
    const uint8_t *uuid;         /* borrowed: for headers that are made again */
    size_t first, count;         /* segments that stay, indices in the survey: without a gap */
    uint64_t shift;              /* the first of them loses so many bytes behind its header */
    uint64_t cut_offset;         /* in the last of them; 0: nothing is cut */
    uint64_t block_offset;       /* in the last of them: a block with another header; 0: none */
    uint8_t block[WAL_BLOCK_HEADER_BYTES];
} data_plan_t;

/* Whether a header is made anew, and can be. */
bool data_plan_mends (const survey_segment_t *segment);

/* Whether the file gets back the length it was made with, filled up with zeros. */
bool data_plan_lengthens (const survey_segment_t *segment);

/* Whether the plan changes anything in a segment that stays. */
bool data_plan_changes (const data_plan_t *self, size_t index);

/* `files` and `plan` are borrowed for the view's life; the caller destroys it by files_destroy. */
files_t *data_view_new (files_t *files, const data_plan_t *plan);

#endif
