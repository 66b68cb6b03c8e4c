/* data_survey - what stands in the files of a log, whether it can be read as a log or not: for the tools,
 * who are to tell all that is wrong, and what would be lost.
 *
 *   segment:  header | blocks ... | a bad region | blocks ... | zeros
 *
 *   J1  every byte of a segment that is not zero lies in its header, in a block whose header and payload
 *       have their CRCs, or in a bad region.
 *   J2  it judges nothing but bytes: whether a bad region is torn or damaged is the reader's to say
 *       (wal_reader.h).
 *
 * It never writes. Memory: one segment. Owner: one thread. */
#ifndef KVDB_NODE_DATA_SURVEY_H
#define KVDB_NODE_DATA_SURVEY_H

#include "actors/files.h"
#include "actors/wal_log.h"

typedef enum {
    HEADER_GOOD,
    HEADER_DAMAGED, /* it can be made again: all it says is known otherwise */
    HEADER_LENGTH,  /* the file is longer than it was made; as HEADER_DAMAGED */
    HEADER_SHORT,   /* it is shorter: what is missing can be made zero */
    HEADER_BLANK,   /* there is not a byte in it, or not a header's worth */
    HEADER_RENAMED, /* it is of another segment */
    HEADER_FOREIGN, /* it is of another data directory */
    HEADER_VERSION, /* of another version of KvDB */
    HEADER_HUGE     /* the file is longer than any of ours */
} survey_header_t;

/* What the blocks of a stretch of a segment hold. */
typedef struct {
    uint64_t blocks, payload_bytes;
    uint64_t start_lsn, end_lsn; /* of these blocks, lowest and highest; 0 without any */
    uint64_t records;            /* whole ones that could be told */
    uint64_t bad_regions, bad_bytes;
} survey_content_t;

typedef struct {
    uint64_t number, bytes; /* of the file; with HEADER_SHORT those it was made with */
    uint64_t missing_bytes; /* with HEADER_SHORT */
    survey_header_t header;
    survey_content_t found; /* behind the header */
} survey_segment_t;

typedef struct {
    uint64_t segment, offset, bytes;
} survey_region_t;

enum { SURVEY_REGIONS_MOST = 64 };

typedef struct {
    files_t *files;               /* borrowed */
    uint8_t uuid[WAL_UUID_BYTES]; /* with knows_uuid */
    bool knows_uuid;
    survey_segment_t *segments; /* owned, in order of their numbers */
    size_t count, capacity;
    survey_region_t regions[SURVEY_REGIONS_MOST]; /* the first bad ones */
    size_t region_count;                          /* listed */
} data_survey_t;

/* `uuid`: of the data directory; NULL: that of the first segment with a good header. KV_IO, with the survey as far as it went: the caller
 * destroys it in any case. */
KV_CHECK_RESULT kv_status_t data_survey_new (files_t *files, const uint8_t *uuid,
                                             data_survey_t **self_p, file_error_t *error);
void data_survey_destroy (data_survey_t **self_p);

/* What stands in a segment from `offset` on, a place where a block may begin. KV_IO. */
KV_CHECK_RESULT kv_status_t data_survey_from (const data_survey_t *self, size_t index,
                                              uint64_t offset, survey_content_t *content,
                                              file_error_t *error);

/* Reads a whole segment; the caller frees the bytes. KV_IO. */
KV_CHECK_RESULT kv_status_t data_survey_read (files_t *files, uint64_t number, uint8_t **bytes,
                                              size_t *size, file_error_t *error);

#endif
