# What `cmake --install` installs: programs, headers, two libraries (static and shared each), and what
# pkg-config and find_package need to find them. Nothing installed knows where it was built, or where
# it is: the tree may be moved.
#
#   libkvdb          the client; needs libzmq
#   libkvdb-actors   broker and node as actors; needs libczmq and libzmq
include (CMakePackageConfigHelpers)

set (KVDB_SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})

# kvdb_library (NAME ROOTS target... KEEP objcopy-options SCRIPT version-script)
# From the objects of ROOTS and of what those need: targets NAME-shared (libNAME.so) and NAME-static
# (libNAME.a, of one object that has no global symbols but the public ones, so that it cannot collide
# with those of a program, or of our other library).
function (kvdb_library name)
    cmake_parse_arguments (PARSE_ARGV 1 library "" "SCRIPT" "ROOTS;KEEP")
    set (objects)
    set (archives)
    foreach (root ${library_ROOTS})
        list (APPEND objects $<TARGET_OBJECTS:${root}>)
    endforeach ()
    kvdb_archives (archives ${library_ROOTS})

    add_library (${name}-shared SHARED ${objects})
    set_target_properties (${name}-shared PROPERTIES OUTPUT_NAME ${name} LINKER_LANGUAGE C
        VERSION ${PROJECT_VERSION} SOVERSION ${KVDB_SOVERSION}
        LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
    target_link_libraries (${name}-shared PRIVATE ${library_ROOTS})
    if (library_SCRIPT)
        target_link_options (${name}-shared PRIVATE -Wl,--version-script=${library_SCRIPT})
        set_target_properties (${name}-shared PROPERTIES LINK_DEPENDS ${library_SCRIPT})
    endif ()

    set (archive ${CMAKE_BINARY_DIR}/lib/lib${name}.a)
    set (whole ${CMAKE_BINARY_DIR}/lib/${name}.o)
    set (files)
    foreach (target ${archives})
        list (APPEND files $<TARGET_FILE:${target}>)
    endforeach ()
    add_custom_command (OUTPUT ${archive}
        COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/lib
        COMMAND ${CMAKE_LINKER} -r -o ${whole} ${objects} --start-group ${files} --end-group
        COMMAND ${CMAKE_OBJCOPY} ${library_KEEP} ${whole}
        COMMAND ${CMAKE_COMMAND} -E rm -f ${archive}
        COMMAND ${CMAKE_AR} rcs ${archive} ${whole}
        DEPENDS ${objects} ${archives} COMMAND_EXPAND_LISTS VERBATIM)
    add_custom_target (${name}-static ALL DEPENDS ${archive})

    install (TARGETS ${name}-shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
    install (FILES ${archive} DESTINATION ${CMAKE_INSTALL_LIBDIR})
endfunction ()

# The static libraries of ours that the given ones need, themselves included.
function (kvdb_archives out)
    set (found ${${out}})
    foreach (target ${ARGN})
        if (NOT TARGET ${target} OR target IN_LIST found)
            continue ()
        endif ()
        get_target_property (type ${target} TYPE)
        if (NOT type STREQUAL "STATIC_LIBRARY")
            continue ()
        endif ()
        list (APPEND found ${target})
        get_target_property (needs ${target} LINK_LIBRARIES)
        if (needs)
            kvdb_archives (found ${needs})
        endif ()
    endforeach ()
    set (${out} ${found} PARENT_SCOPE)
endfunction ()

kvdb_library (kvdb ROOTS kvdb KEEP --localize-hidden)
kvdb_library (kvdb-actors ROOTS kvdb_broker kvdb_node
    KEEP --keep-global-symbol=kv_broker_actor --keep-global-symbol=kv_node_actor
    SCRIPT ${CMAKE_CURRENT_SOURCE_DIR}/cmake/libkvdb-actors.map)

install (TARGETS kvdb-broker kvdb-node kv kv-bench RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install (FILES client/kvdb.h broker/kvdb_broker.h node/kvdb_node.h
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install (FILES LICENSE CHANGELOG.md docs/EMBEDDING.md docs/COMMANDS.md schema/PROTOCOL.md
    DESTINATION ${CMAKE_INSTALL_DOCDIR})
install (FILES client/examples/hello.c client/examples/req.py
    DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
install (FILES client/examples/embed/CMakeLists.txt client/examples/embed/README.md
    client/examples/embed/embed.c DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples/embed)

cmake_path (RELATIVE_PATH CMAKE_INSTALL_PREFIX
    BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig OUTPUT_VARIABLE KVDB_PC_TO_PREFIX)
cmake_path (RELATIVE_PATH CMAKE_INSTALL_FULL_INCLUDEDIR
    BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig OUTPUT_VARIABLE KVDB_PC_TO_INCLUDE)
foreach (name libkvdb libkvdb-actors)
    configure_file (cmake/${name}.pc.in ${CMAKE_BINARY_DIR}/lib/${name}.pc @ONLY)
    install (FILES ${CMAKE_BINARY_DIR}/lib/${name}.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach ()

set (package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/kvdb)
configure_package_config_file (cmake/kvdbConfig.cmake.in ${CMAKE_BINARY_DIR}/lib/kvdbConfig.cmake
    INSTALL_DESTINATION ${package_dir} PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file (${CMAKE_BINARY_DIR}/lib/kvdbConfigVersion.cmake
    COMPATIBILITY SameMinorVersion)
install (FILES ${CMAKE_BINARY_DIR}/lib/kvdbConfig.cmake
    ${CMAKE_BINARY_DIR}/lib/kvdbConfigVersion.cmake DESTINATION ${package_dir})
