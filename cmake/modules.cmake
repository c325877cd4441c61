# One folder under src/ is one module and one static archive, mk_<name>. Sources are discovered:
# a new file needs no line here.

function(minikv_module name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;LIBRARIES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.c)
  list(FILTER sources EXCLUDE REGEX "/main\\.c$")
  list(TRANSFORM ARG_DEPENDS PREPEND mk_)
  if(sources)
    add_library(mk_${name} STATIC ${sources})
    target_include_directories(mk_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src
                                                 ${CMAKE_SOURCE_DIR}/include)
    target_link_libraries(mk_${name} PUBLIC minikv_options ${ARG_DEPENDS} ${ARG_LIBRARIES})
  else() # headers only
    add_library(mk_${name} INTERFACE)
    target_include_directories(mk_${name} INTERFACE ${CMAKE_SOURCE_DIR}/src
                                                    ${CMAKE_SOURCE_DIR}/include)
    target_link_libraries(mk_${name} INTERFACE minikv_options ${ARG_DEPENDS} ${ARG_LIBRARIES})
  endif()
endfunction()

# A program is its main.c and an archive of everything else in its folder, so that unit tests can
# link what the program consists of.
function(minikv_program name)
  cmake_parse_arguments(ARG "" "DIRECTORY" "DEPENDS;LIBRARIES" ${ARGN})
  if(NOT EXISTS ${CMAKE_SOURCE_DIR}/src/${ARG_DIRECTORY}/main.c)
    return()
  endif()
  minikv_module(${ARG_DIRECTORY} DEPENDS ${ARG_DEPENDS} LIBRARIES ${ARG_LIBRARIES})
  add_executable(${name} ${CMAKE_SOURCE_DIR}/src/${ARG_DIRECTORY}/main.c)
  target_link_libraries(${name} PRIVATE mk_${ARG_DIRECTORY})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
endfunction()

# Every tests/unit/<module>/<noun>_test.c is one program and one ctest; it links the archive of its
# module only, so a test cannot lean on a layer above the one it tests.
function(minikv_unit_tests module)
  cmake_parse_arguments(ARG "" "" "DEPENDS;LIBRARIES" ${ARGN})
  if(NOT TARGET mk_${module})
    return()
  endif()
  list(TRANSFORM ARG_DEPENDS PREPEND mk_)
  set(seconds 120)
  if(MINIKV_SANITIZE MATCHES "thread") # some ten times as long
    set(seconds 1200)
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/unit/${module}/*_test.c)
  foreach(source ${sources})
    get_filename_component(noun ${source} NAME_WE)
    set(target unit_${module}_${noun})
    add_executable(${target} ${source})
    target_link_libraries(${target} PRIVATE mk_${module} ${ARG_DEPENDS} ${ARG_LIBRARIES}
                                            PkgConfig::CMOCKA)
    target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
    target_compile_options(${target} PRIVATE $<$<CONFIG:Debug>:-O0>)
    target_compile_definitions(${target} PRIVATE TEST_SOURCE_DIR="${CMAKE_SOURCE_DIR}/tests")
    add_test(NAME unit/${module}/${noun} COMMAND ${target})
    set_tests_properties(unit/${module}/${noun} PROPERTIES TIMEOUT ${seconds})
  endforeach()
endfunction()
