# SPDX-License-Identifier: GPL-2.0-or-later
# What is installed, and the Debian packages it makes: lacuna (daemon, tools), lacuna-dkms (module), lacuna-dev (headers),
# lacuna-drgn (drgn on guests).
# `cpack -G DEB` or scripts/package; everything has its place below /usr, /etc and /lib as Debian's policy wants it.
install(TARGETS lacunad RUNTIME DESTINATION sbin COMPONENT lacuna)
install(TARGETS lacuna-describe RUNTIME DESTINATION libexec/lacuna COMPONENT lacuna)
install(TARGETS lacunactl RUNTIME DESTINATION bin COMPONENT lacuna)
install(DIRECTORY constraints/ DESTINATION share/lacuna/constraints COMPONENT lacuna FILES_MATCHING PATTERN "*.json")
install(FILES README.md DESTINATION share/doc/lacuna COMPONENT lacuna)
install(FILES constraints/README.md DESTINATION share/doc/lacuna RENAME constraints.md COMPONENT lacuna)
install(FILES daemon/store/profile.schema.json DESTINATION share/lacuna COMPONENT lacuna)
install(FILES packaging/lacunad.toml DESTINATION /etc/lacuna COMPONENT lacuna)
install(FILES packaging/lacunad.service DESTINATION lib/systemd/system COMPONENT lacuna)

install(FILES packaging/lacunactl.bash-completion DESTINATION share/bash-completion/completions RENAME lacunactl COMPONENT lacuna)
# Debian's policy wants manual pages compressed, and without the time of day in them.
foreach(page lacunactl.1 lacuna-drgn.1 lacunad.toml.5 lacunad.8)
    string(REGEX MATCH "[0-9]$" section ${page})
    add_custom_command(OUTPUT packaging/${page}.gz VERBATIM DEPENDS ${PROJECT_SOURCE_DIR}/packaging/man/${page}
        COMMAND sh -c "gzip -9nc '${PROJECT_SOURCE_DIR}/packaging/man/${page}' > 'packaging/${page}.gz'")
    list(APPEND pages ${CMAKE_CURRENT_BINARY_DIR}/packaging/${page}.gz)
    set(package lacuna)
    if(page MATCHES drgn)
        set(package lacuna-drgn)
    endif()
    install(FILES ${CMAKE_CURRENT_BINARY_DIR}/packaging/${page}.gz DESTINATION share/man/man${section} COMPONENT ${package})
endforeach()
# Each Debian release has packages of its own: a host that is upgraded takes those of its new release for newer ones.
set(package_release 1)
cmake_host_system_information(RESULT debian QUERY DISTRIB_VERSION_ID)
if(debian MATCHES "^[0-9]+$")
    string(APPEND package_release "+deb${debian}u1")
endif()
set(changelog ${CMAKE_CURRENT_BINARY_DIR}/packaging/changelog.Debian.gz)
add_custom_command(OUTPUT ${changelog} VERBATIM DEPENDS ${PROJECT_SOURCE_DIR}/packaging/changelog
    COMMAND sh -c "sed '1s/-1)/-${package_release})/' '${PROJECT_SOURCE_DIR}/packaging/changelog' | gzip -9n > '${changelog}'")
add_custom_target(package_documentation ALL DEPENDS ${pages} ${changelog})
foreach(package lacuna lacuna-dkms lacuna-dev lacuna-drgn)
    install(FILES packaging/copyright ${changelog} DESTINATION share/doc/${package} COMPONENT ${package})
endforeach()

configure_file(packaging/dkms.conf.in packaging/dkms.conf @ONLY)
set(source src/lacuna-${PROJECT_VERSION})
install(DIRECTORY kmod include DESTINATION ${source} COMPONENT lacuna-dkms
    FILES_MATCHING PATTERN "*.[ch]" PATTERN "Kbuild" PATTERN "Makefile")
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/packaging/dkms.conf DESTINATION ${source} COMPONENT lacuna-dkms)
install(FILES packaging/modules-load.conf DESTINATION /usr/lib/modules-load.d RENAME lacuna.conf COMPONENT lacuna-dkms)
install(DIRECTORY include/lacuna DESTINATION include COMPONENT lacuna-dev FILES_MATCHING PATTERN "*.h")
install(PROGRAMS python/lacuna-drgn DESTINATION bin COMPONENT lacuna-drgn)
install(FILES python/lacuna_drgn.py DESTINATION lib/python3/dist-packages COMPONENT lacuna-drgn)
install(FILES docs/vmi-tools.md DESTINATION share/doc/lacuna COMPONENT lacuna)
install(DIRECTORY examples DESTINATION share/doc/lacuna-dev COMPONENT lacuna-dev)

set(scripts ${CMAKE_CURRENT_BINARY_DIR}/packaging)
# dpkg wants each under its own name, so each package has a folder.
foreach(script postinst prerm postrm)
    configure_file(packaging/lacuna.${script} packaging/lacuna/${script} COPYONLY)
endforeach()
file(WRITE ${scripts}/lacuna/conffiles "/etc/lacuna/lacunad.toml\n")
foreach(script postinst prerm)
    configure_file(packaging/lacuna-dkms.${script}.in packaging/lacuna-dkms/${script} @ONLY
        FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
endforeach()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME lacuna)
set(CPACK_PACKAGE_CONTACT "The Lacuna developers <lacuna@localhost>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_OUTPUT_FILE_PREFIX packages)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL lacuna lacuna-dkms lacuna-dev lacuna-drgn)
set(CPACK_COMPONENTS_GROUPING ONE_PER_GROUP)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE ${package_release})
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
foreach(package lacuna lacuna-dkms lacuna-dev lacuna-drgn)
    string(TOUPPER ${package} upper)
    set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${package})
endforeach()
set(CPACK_COMPONENT_LACUNA_DESCRIPTION "Finds where Linux guests' kernels keep their data, from the hypervisor
Watches KVM guests boot and learns the offsets in their kernels' structures
that virtual machine introspection needs, without access to the guest and
without debug information. This is the daemon lacunad with lacunactl.")
set(CPACK_DEBIAN_LACUNA_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_LACUNA_PACKAGE_DEPENDS "init-system-helpers (>= 1.54), passwd")
# They speak one version of the ABI.
set(CPACK_DEBIAN_LACUNA_PACKAGE_BREAKS "lacuna-dkms (<< ${PROJECT_VERSION})")
set(CPACK_DEBIAN_LACUNA_PACKAGE_RECOMMENDS "lacuna-dkms, libguestfs-tools")
set(CPACK_DEBIAN_LACUNA_PACKAGE_SUGGESTS "libvirt-daemon-system")
set(CPACK_DEBIAN_LACUNA_PACKAGE_CONTROL_EXTRA
    "${scripts}/lacuna/postinst;${scripts}/lacuna/prerm;${scripts}/lacuna/postrm;${scripts}/lacuna/conffiles")
set(CPACK_COMPONENT_LACUNA-DKMS_DESCRIPTION "Finds where Linux guests' kernels keep their data: kernel module
The part of Lacuna that hooks KVM, built by DKMS for the kernels of this host.")
set(CPACK_DEBIAN_LACUNA-DKMS_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_LACUNA-DKMS_PACKAGE_SECTION kernel)
set(CPACK_DEBIAN_LACUNA-DKMS_PACKAGE_DEPENDS "dkms (>= 2.1.0.0)")
set(CPACK_DEBIAN_LACUNA-DKMS_PACKAGE_CONTROL_EXTRA "${scripts}/lacuna-dkms/postinst;${scripts}/lacuna-dkms/prerm")
set(CPACK_COMPONENT_LACUNA-DEV_DESCRIPTION "Finds where Linux guests' kernels keep their data: headers and examples
For programs that read profiles, talk to Lacuna's kernel module by netlink,
or read its recordings; with examples.")
set(CPACK_DEBIAN_LACUNA-DEV_PACKAGE_SUGGESTS "libjson-c-dev, nlohmann-json3-dev")
set(CPACK_DEBIAN_LACUNA-DEV_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_LACUNA-DEV_PACKAGE_SECTION libdevel)
set(CPACK_COMPONENT_LACUNA-DRGN_DESCRIPTION "Finds where Linux guests' kernels keep their data: drgn on guests
Opens the programmable debugger drgn on a guest's memory, with types and
symbols from what Lacuna has learned in place of debugging information.")
set(CPACK_DEBIAN_LACUNA-DRGN_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_LACUNA-DRGN_PACKAGE_SECTION python)
set(CPACK_DEBIAN_LACUNA-DRGN_PACKAGE_DEPENDS "python3:any, lacuna (>= ${PROJECT_VERSION})")
# No dependency: that of Debian 12 is too old, and who builds a newer one has no package of it.
set(CPACK_DEBIAN_LACUNA-DRGN_PACKAGE_RECOMMENDS "python3-drgn (>= 0.0.25)")
include(CPack)
