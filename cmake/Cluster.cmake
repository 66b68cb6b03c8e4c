# Targets around config/cluster: a cluster of this build's programs, in a folder of this build.
#   cmake --build build --target run_cluster     (then run_cli, status_cluster, logs_cluster, stop_cluster)
# Its size and ports are cache variables, used when the cluster is first made.
set (KVDB_CLUSTER_NODES 3 CACHE STRING "Nodes that run_cluster starts")
set (KVDB_CLUSTER_PORT 7000 CACHE STRING "First port of the cluster that run_cluster starts")

function (kvdb_cluster_target name)
    add_custom_target (${name}
        COMMAND ${CMAKE_COMMAND} -E env KVDB_BUILD_DIR=${CMAKE_BINARY_DIR}
                ${CMAKE_SOURCE_DIR}/config/cluster ${ARGN} --dir ${CMAKE_BINARY_DIR}/cluster
        USES_TERMINAL VERBATIM)
endfunction ()

kvdb_cluster_target (run_cluster up --nodes ${KVDB_CLUSTER_NODES} --port ${KVDB_CLUSTER_PORT})
kvdb_cluster_target (stop_cluster down)
kvdb_cluster_target (status_cluster status)
kvdb_cluster_target (logs_cluster logs)
kvdb_cluster_target (run_cli cli)

foreach (program kvdb-broker kvdb-node kv)
    if (TARGET ${program})
        add_dependencies (run_cluster ${program})
        add_dependencies (run_cli ${program})
    endif ()
endforeach ()
