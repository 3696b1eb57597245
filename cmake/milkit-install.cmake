include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

install(DIRECTORY include/milkit DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS milkit EXPORT milkit-targets INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

set(package_dir ${CMAKE_INSTALL_DATADIR}/milkit)  # also where vcpkg wants it
install(EXPORT milkit-targets NAMESPACE milkit:: DESTINATION ${package_dir})
configure_package_config_file(cmake/milkit-config.cmake.in milkit-config.cmake INSTALL_DESTINATION ${package_dir}
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(milkit-config-version.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/milkit-config.cmake ${PROJECT_BINARY_DIR}/milkit-config-version.cmake
  cmake/milkit-components.cmake cmake/milkit-compiled.cmake DESTINATION ${package_dir})

configure_file(cmake/milkit.pc.in milkit.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/milkit.pc DESTINATION ${CMAKE_INSTALL_DATADIR}/pkgconfig)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/licenses/milkit)
