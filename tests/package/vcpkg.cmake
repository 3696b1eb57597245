# Runs the port as vcpkg would, with stand-ins for vcpkg's functions, and checks what vcpkg checks of a package. Then
# tests/package/consumer finds it.
# cmake -Dport=FOLDER -Dstage=FOLDER -Dcxx=COMPILER -Deigen=FOLDER_OF_PACKAGE_FILES -P vcpkg.cmake
file(REMOVE_RECURSE ${stage})
set(PORT milkit)
set(CURRENT_PORT_DIR ${port})
set(CURRENT_PACKAGES_DIR ${stage}/packages/milkit)
set(CURRENT_BUILDTREES_DIR ${stage}/buildtrees)
set(TARGET_TRIPLET x64-linux)
set_property(GLOBAL PROPERTY calls)

function(call name)
  set_property(GLOBAL APPEND PROPERTY calls ${name})
endfunction()

function(vcpkg_cmake_configure)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "SOURCE_PATH" "OPTIONS;OPTIONS_RELEASE;OPTIONS_DEBUG")
  call(configure)
  execute_process(COMMAND ${CMAKE_COMMAND} -S ${arg_SOURCE_PATH} -B ${CURRENT_BUILDTREES_DIR}/rel -G Ninja
    -DCMAKE_INSTALL_PREFIX=${CURRENT_PACKAGES_DIR} -DCMAKE_CXX_COMPILER=${cxx} -DEigen3_DIR=${eigen} -DCMAKE_BUILD_TYPE=Release
    ${arg_OPTIONS} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

function(vcpkg_cmake_install)
  call(install)
  execute_process(COMMAND ${CMAKE_COMMAND} --build ${CURRENT_BUILDTREES_DIR}/rel --target install
    OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# vcpkg moves CONFIG_PATH to share/PACKAGE_NAME; milkit's files are there from the start.
function(vcpkg_cmake_config_fixup)
  call(config)
  if(ARGN OR NOT EXISTS ${CURRENT_PACKAGES_DIR}/share/milkit/milkit-config.cmake)
    message(FATAL_ERROR "there is no share/milkit/milkit-config.cmake, where vcpkg wants it without CONFIG_PATH: ${ARGN}")
  endif()
endfunction()

function(vcpkg_fixup_pkgconfig)
  call(pkgconfig)
endfunction()

function(vcpkg_install_copyright)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "COMMENT" "FILE_LIST")
  call(copyright)
  list(LENGTH arg_FILE_LIST number)
  if(NOT number EQUAL 1)
    message(FATAL_ERROR "this stand-in takes one licence file, not ${number}")
  endif()
  file(COPY_FILE ${arg_FILE_LIST} ${CURRENT_PACKAGES_DIR}/share/${PORT}/copyright)
endfunction()

include(${port}/portfile.cmake)

get_property(made GLOBAL PROPERTY calls)
if(NOT made STREQUAL "configure;install;config;pkgconfig;copyright")
  message(FATAL_ERROR "the portfile called ${made}")
endif()
foreach(file IN ITEMS include/milkit/milkit.hpp share/milkit/milkit-config.cmake share/milkit/milkit-targets.cmake
    share/milkit/usage share/milkit/copyright share/pkgconfig/milkit.pc)
  if(NOT EXISTS ${CURRENT_PACKAGES_DIR}/${file})
    message(FATAL_ERROR "the package lacks ${file}")
  endif()
endforeach()
# What vcpkg refuses: files anywhere else, empty folders, and paths of the machine that made the package.
file(GLOB_RECURSE files LIST_DIRECTORIES true RELATIVE ${CURRENT_PACKAGES_DIR} ${CURRENT_PACKAGES_DIR}/*)
foreach(file IN LISTS files)
  if(NOT file MATCHES "^(include|share)$|^(include|share)/(milkit|pkgconfig)")
    message(FATAL_ERROR "the package holds ${file}")
  endif()
  if(IS_DIRECTORY ${CURRENT_PACKAGES_DIR}/${file})
    file(GLOB inside ${CURRENT_PACKAGES_DIR}/${file}/*)
    if(NOT inside)
      message(FATAL_ERROR "the package's folder ${file} is empty")
    endif()
  else()
    file(STRINGS ${CURRENT_PACKAGES_DIR}/${file} hits REGEX "${stage}")
    if(hits)
      message(FATAL_ERROR "${file} knows where it was made: ${hits}")
    endif()
  endif()
endforeach()

# Each component that is not a card's is a feature.
file(READ ${port}/vcpkg.json manifest)
include(${CURRENT_PACKAGES_DIR}/share/milkit/milkit-components.cmake)
set(components ${milkit_COMPONENTS})
list(REMOVE_ITEM components cuda cudnn)
string(JSON number LENGTH "${manifest}" features)
math(EXPR last "${number} - 1")
set(features)
foreach(i RANGE ${last})
  string(JSON feature MEMBER "${manifest}" features ${i})
  list(APPEND features ${feature})
endforeach()
list(SORT components)
list(SORT features)
if(NOT features STREQUAL components)
  message(FATAL_ERROR "the port's features are ${features}, the components ${components}")
endif()
