# What `cmake --install` lays out: programs, libminikv with its headers and the files by which
# pkg-config and CMake find it, manual pages, examples. Every path in them is relative to the file
# it stands in, and none of the machine that built them: two builds of one source, wherever it
# lies, give the same bytes.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# `path` below the prefix, as written after ${prefix} in a .pc file; an absolute one stays.
function(minikv_pc_path path out_text)
  if(IS_ABSOLUTE ${path})
    set(${out_text} ${path} PARENT_SCOPE)
  else()
    set(${out_text} "\${prefix}/${path}" PARENT_SCOPE)
  endif()
endfunction()

# A page that describes several functions is found under the name of each.
function(minikv_install_aliases page)
  get_filename_component(own ${page} NAME_WE)
  file(STRINGS ${page} names REGEX "^[a-z_, ]+ \\\\- ")
  string(REGEX REPLACE " \\\\- .*" "" names "${names}")
  string(REGEX MATCHALL "[a-z_]+" names "${names}")
  list(REMOVE_ITEM names ${own})
  foreach(name ${names})
    set(alias ${CMAKE_CURRENT_BINARY_DIR}/man3/${name}.3)
    file(CONFIGURE OUTPUT ${alias} CONTENT ".so man3/${own}.3\n")
    install(FILES ${alias} DESTINATION ${CMAKE_INSTALL_MANDIR}/man3)
  endforeach()
endfunction()

function(minikv_install_library)
  set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/minikv)
  install(TARGETS minikv_shared minikv_static EXPORT minikvTargets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(DIRECTORY include/minikv DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    FILES_MATCHING PATTERN "*.h")

  install(EXPORT minikvTargets NAMESPACE minikv:: DESTINATION ${package_dir})
  configure_package_config_file(cmake/minikvConfig.cmake.in minikvConfig.cmake
    INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
  write_basic_package_version_file(minikvConfigVersion.cmake COMPATIBILITY SameMinorVersion)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/minikvConfig.cmake
                ${CMAKE_CURRENT_BINARY_DIR}/minikvConfigVersion.cmake DESTINATION ${package_dir})

  set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
  if(IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR})
    set(pkgconfig_dir lib/pkgconfig)
  endif()
  file(RELATIVE_PATH MINIKV_PREFIX_FROM_PKGCONFIG /prefix/${pkgconfig_dir} /prefix)
  string(REGEX REPLACE "/$" "" MINIKV_PREFIX_FROM_PKGCONFIG ${MINIKV_PREFIX_FROM_PKGCONFIG})
  minikv_pc_path(${CMAKE_INSTALL_LIBDIR} MINIKV_PC_LIBDIR)
  minikv_pc_path(${CMAKE_INSTALL_INCLUDEDIR} MINIKV_PC_INCLUDEDIR)
  configure_file(cmake/minikv.pc.in minikv.pc @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/minikv.pc DESTINATION ${pkgconfig_dir})
endfunction()

function(minikv_install_documents)
  foreach(section 1 3)
    file(GLOB pages CONFIGURE_DEPENDS docs/man/*.${section})
    install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
    if(section EQUAL 3)
      foreach(page ${pages})
        minikv_install_aliases(${page})
      endforeach()
    endif()
  endforeach()
  install(FILES LICENSE README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
  install(DIRECTORY examples DESTINATION ${CMAKE_INSTALL_DOCDIR})
endfunction()

install(TARGETS minikvd minikv minikv-inspect RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
minikv_install_library()
minikv_install_documents()
