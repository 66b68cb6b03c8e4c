/* fuzz_yaml - bytes as a YAML file; invariants E3 and E4 of config.h are checked on each. */
#include "test/unit/config/sample_tables.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    sample_t sample;
    sample_start (&sample);
    kv_status_t status = config_load_bytes (sample.config, "fuzz.yaml", kv_slice (data, size),
                                            SAMPLE_CLUSTER | SAMPLE_NODE);
    const char *error = config_error (sample.config);
    KV_ASSERT ((status == KV_OK) == (error == NULL));
    if (error)
        KV_ASSERT (sample_error_is_valid (error, "fuzz.yaml")); // E3
    KV_ASSERT (sample_is_valid (&sample));                      // E4
    for (size_t i = 0; i < config_count (sample.config); i++)
        free (config_value (sample.config, i));
    for (size_t i = 0; i < sample.cluster.nodes.count; i++)
        free (config_position (sample.config, "nodes", i, "port"));
    free (config_notice (sample.config, 0));
    sample_stop (&sample);
    return 0;
}
