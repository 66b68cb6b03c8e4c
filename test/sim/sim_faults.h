/* sim_faults - what goes wrong in a run, and when.
 *
 * A run has a phase of faults, drawn one after the other from the kinds its seed allows; each undoes
 * itself after a while, and all that is left is undone at the end of the phase. Owner: sim_run. */
#ifndef KVDB_TEST_SIM_SIM_FAULTS_H
#define KVDB_TEST_SIM_SIM_FAULTS_H

#include "sim_cluster.h"

typedef enum {
    FAULT_DROP,
    FAULT_DROP_CLIENT,
    FAULT_PARTITION,
    FAULT_FLAP,
    FAULT_SLOW,
    FAULT_CRASH,
    FAULT_POWER,
    FAULT_PAUSE,
    FAULT_SECOND,
    FAULT_STOP,
    FAULT_WALL,
    FAULT_BROKER_CRASH,
    FAULT_BROKER_STOP,
    FAULT_BROKER_PAUSE,
    FAULT_DISK_SLOW,
    FAULT_DISK_FULL,
    FAULT_DISK_SYNC,
    FAULTS
} sim_fault_t;

enum { SIM_FAULTS_GENTLE = 1 << FAULT_STOP | 1 << FAULT_WALL };

typedef struct sim_faults sim_faults_t;

/* Begins the phase. */
sim_faults_t *sim_faults_new (sim_t *sim, sim_cluster_t *cluster);
void sim_faults_destroy (sim_faults_t **self_p);

#endif
