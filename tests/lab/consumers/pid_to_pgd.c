// SPDX-License-Identifier: GPL-2.0-or-later
// pid_to_pgd NAME PID:PGD...: does LibVMI find the page tables of these processes? PGD is where they lie, as a kernel address.
#include <inttypes.h>
#include <stdio.h>

#include <libvmi/libvmi.h>

int main(int argc, char **argv)
{
	vmi_instance_t vmi = NULL;
	int wrong = 0;

	if (argc < 3 || vmi_init_complete(&vmi, argv[1], VMI_INIT_DOMAINNAME, NULL, VMI_CONFIG_GLOBAL_FILE_ENTRY, NULL, NULL) != VMI_SUCCESS) {
		fprintf(stderr, "LibVMI cannot be initialised\n");
		return 2;
	}
	for (int i = 2; i < argc; i++) {
		addr_t pgd, there = 0, found = 0;
		int pid;

		if (sscanf(argv[i], "%d:%" SCNx64, &pid, &pgd) != 2)
			return 2;
		if (vmi_translate_kv2p(vmi, pgd, &there) != VMI_SUCCESS || vmi_pid_to_dtb(vmi, pid, &found) != VMI_SUCCESS || there != found) {
			printf("%d: %#" PRIx64 " instead of %#" PRIx64 "\n", pid, found, there);
			wrong++;
		}
	}
	printf("%d of %d right\n", argc - 2 - wrong, argc - 2);
	vmi_destroy(vmi);
	return wrong ? 1 : 0;
}
