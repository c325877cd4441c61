# Flags that every target of the project shares, as one interface target.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

set(MINIKV_SANITIZE "" CACHE STRING "address;undefined or thread")
option(MINIKV_TESTS "build the unit tests (cmocka)" ON)
option(MINIKV_FUZZ "build the libFuzzer targets (clang)" OFF)
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
  add_compile_options(-ffile-prefix-map=${CMAKE_SOURCE_DIR}=.
                      -ffile-prefix-map=${CMAKE_BINARY_DIR}=./build)
else()
  target_compile_definitions(minikv_options INTERFACE MINIKV_CHECKED=1)
endif()

if(MINIKV_FAILPOINTS)
  target_compile_definitions(minikv_options INTERFACE MINIKV_FAILPOINTS=1)
endif()
if(MINIKV_SANITIZE)
  list(JOIN MINIKV_SANITIZE "," sanitizers)
  # -O1: the simulator runs three times as many seeds as without, and reports still name lines.
  target_compile_options(minikv_options INTERFACE -fsanitize=${sanitizers}
    -fno-sanitize-recover=all -fno-omit-frame-pointer -g $<$<CONFIG:Debug>:-O1>)
  target_link_options(minikv_options INTERFACE -fsanitize=${sanitizers})
endif()
if(MINIKV_FUZZ)
  target_compile_options(minikv_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(MINIKV_COVERAGE)
  target_compile_options(minikv_options INTERFACE --coverage)
  target_link_options(minikv_options INTERFACE --coverage)
endif()
