# include/milkit/version.hpp is the one source of the version: vcpkg's port, which can read nothing, agrees with it, and no other
# file of a package manager writes a number.
# cmake -Dsource=ROOT -Dversion=VERSION -P version.cmake
file(READ ${source}/cmake/vcpkg/ports/milkit/vcpkg.json port)
string(JSON number GET "${port}" version)
if(NOT number STREQUAL version)
  message(FATAL_ERROR "cmake/vcpkg/ports/milkit/vcpkg.json says ${number}, include/milkit/version.hpp ${version}")
endif()
file(READ ${source}/vcpkg.json root)
string(JSON number ERROR_VARIABLE none GET "${root}" version)
if(NOT none)
  message(FATAL_ERROR "vcpkg.json says ${number}; the port's is enough")
endif()
file(STRINGS ${source}/conanfile.py lines REGEX "^ *(self\\.)?version *=")
if(NOT lines MATCHES "^ *self\\.version = \"\\.\"\\.join\\(re\\.search")
  message(FATAL_ERROR "conanfile.py reads its version from include/milkit/version.hpp, and has: ${lines}")
endif()
