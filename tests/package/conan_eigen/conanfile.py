"""Stands in for the recipe of Eigen where there is no network: the headers that EIGEN_HEADERS names."""
import os

from conan import ConanFile
from conan.tools.files import copy


class Eigen(ConanFile):
    name = "eigen"
    package_type = "header-library"

    def package(self):
        copy(self, "Eigen/*", os.environ["EIGEN_HEADERS"], f"{self.package_folder}/include")

    def package_info(self):
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []
        self.cpp_info.set_property("cmake_find_mode", "both")
        self.cpp_info.set_property("cmake_file_name", "Eigen3")
        self.cpp_info.set_property("cmake_target_name", "Eigen3::Eigen")
        self.cpp_info.set_property("pkg_config_name", "eigen3")
