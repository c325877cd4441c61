# Flags that every target of the project shares, as one interface target.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

set(MINIKV_SANITIZE "" CACHE STRING "address;undefined or thread")
option(MINIKV_TESTS "build the unit tests (cmocka)" ON)
option(MINIKV_FUZZ "build the libFuzzer targets (clang)" OFF)
option(MINIKV_FUZZ_COMPARES "show libFuzzer what is compared: slower, meets new constants" OFF)
option(MINIKV_FAILPOINTS "compile the failpoints in (base/failpoint.h); for tests" OFF)
option(MINIKV_COVERAGE "instrument for coverage" OFF)

add_library(minikv_options INTERFACE)
target_compile_definitions(minikv_options INTERFACE _GNU_SOURCE MINIKV_VERSION="${PROJECT_VERSION}")
target_compile_options(minikv_options INTERFACE
  -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wswitch-enum
  -Wpointer-arith -Wwrite-strings -Wvla -Wundef -Wformat=2 -Wno-unused-parameter
  -fno-strict-aliasing -fno-common -fstack-protector-strong)
if(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  target_compile_definitions(minikv_options INTERFACE _FORTIFY_SOURCE=2)
  # Paths of sources are part of debug information and of messages; the machine's are not.
  set(prefixes -ffile-prefix-map=${CMAKE_SOURCE_DIR}=. -ffile-prefix-map=${CMAKE_BINARY_DIR}=./build)
  add_compile_options(${prefixes})
  # Programs are optimized as a whole when they are linked (clang would want its own linker for it).
  if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
    add_link_options(${prefixes})
  endif()
else()
  target_compile_definitions(minikv_options INTERFACE MINIKV_CHECKED=1)
endif()

if(MINIKV_FAILPOINTS)
  target_compile_definitions(minikv_options INTERFACE MINIKV_FAILPOINTS=1)
endif()
if(MINIKV_SANITIZE)
  list(JOIN MINIKV_SANITIZE "," sanitizers)
  target_compile_options(minikv_options INTERFACE -fsanitize=${sanitizers}
    -fno-sanitize-recover=all -fno-omit-frame-pointer -g)
  target_link_options(minikv_options INTERFACE -fsanitize=${sanitizers})
  # The simulator runs three times as many seeds as without, and reports still name lines. Unit tests
  # turn it off for themselves: it makes their compilation four times as long.
  add_compile_options($<$<CONFIG:Debug>:-O1>)
  # More than two hundred programs, each with the sanitizers' runtime: lld links them in half the time.
  find_program(LLD ld.lld)
  if(LLD)
    add_link_options(-fuse-ld=lld)
  endif()
endif()

# For what unit tests spend most of their time in, in debug builds too; not where coverage is
# counted by lines.
function(minikv_optimize)
  if(CMAKE_BUILD_TYPE STREQUAL "Debug" AND NOT MINIKV_COVERAGE)
    foreach(target ${ARGN})
      target_compile_options(${target} PRIVATE -O1)
    endforeach()
  endif()
endfunction()
if(MINIKV_FUZZ)
  # -O2 and no calls at comparisons: more than twice the runs.
  target_compile_options(minikv_options INTERFACE -fsanitize=fuzzer-no-link -O2)
  if(NOT MINIKV_FUZZ_COMPARES)
    target_compile_options(minikv_options INTERFACE
      -fno-sanitize-coverage=trace-cmp,trace-div,trace-gep,stack-depth)
  endif()
endif()
if(MINIKV_COVERAGE)
  target_compile_options(minikv_options INTERFACE --coverage)
  target_link_options(minikv_options INTERFACE --coverage)
endif()
