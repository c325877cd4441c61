# libminikv, shared and static, from one object: all of src/client that the library needs, and of
# the modules below the two files it calls. What the headers do not export is local to that object,
# so neither library can get in the way of names in the program that links it.

find_package(Threads REQUIRED)

file(GLOB client_sources CONFIGURE_DEPENDS src/client/*.c)
add_library(minikv_client_parts STATIC ${client_sources} src/base/percent.c
                                        src/types/address.c)
target_include_directories(minikv_client_parts PRIVATE src include)
target_link_libraries(minikv_client_parts PRIVATE minikv_options)
set_target_properties(minikv_client_parts PROPERTIES POSITION_INDEPENDENT_CODE ON
                                                     C_VISIBILITY_PRESET hidden
                                                     INTERPROCEDURAL_OPTIMIZATION OFF)

# The library never ends the process and never prints. A symbol that something refers to cannot be
# stripped: a call of one of these ends the build, and names it. (What sanitizers add does refer to
# some.)
set(forbidden abort exit _exit quick_exit check_failed __assert_fail mem_alloc stdout stderr printf
    __printf_chk fprintf __fprintf_chk vfprintf __vfprintf_chk puts putchar fputs fputc fwrite
    perror)
list(TRANSFORM forbidden PREPEND --strip-symbol=)
if(MINIKV_SANITIZE OR MINIKV_FUZZ OR MINIKV_COVERAGE)
  set(forbidden)
endif()

set(minikv_object ${CMAKE_CURRENT_BINARY_DIR}/libminikv.o)
add_custom_command(OUTPUT ${minikv_object}
  COMMAND ${CMAKE_C_COMPILER} -r -nostdlib -o ${minikv_object}
          -Wl,--whole-archive $<TARGET_FILE:minikv_client_parts> -Wl,--no-whole-archive
  COMMAND ${CMAKE_OBJCOPY} --localize-hidden ${forbidden} ${minikv_object}
  DEPENDS minikv_client_parts
  COMMENT "Joining the parts of libminikv" VERBATIM)
set_source_files_properties(${minikv_object} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
add_custom_target(minikv_joined DEPENDS ${minikv_object})

add_library(minikv_shared SHARED ${minikv_object})
add_library(minikv_static STATIC ${minikv_object})
foreach(library minikv_shared minikv_static)
  add_dependencies(${library} minikv_joined)
  target_include_directories(${library} INTERFACE $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include>)
  target_link_libraries(${library} PRIVATE $<BUILD_INTERFACE:minikv_options> Threads::Threads)
  set_target_properties(${library} PROPERTIES OUTPUT_NAME minikv LINKER_LANGUAGE C)
endforeach()
set_target_properties(minikv_shared PROPERTIES EXPORT_NAME minikv VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR})
target_link_options(minikv_shared PRIVATE -Wl,-z,relro,-z,now)
if(NOT MINIKV_SANITIZE)
  target_link_options(minikv_shared PRIVATE -Wl,--no-undefined)
endif()
