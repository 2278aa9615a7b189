// SPDX-License-Identifier: GPL-2.0-only
#include "site.h"

#include <linux/errno.h>
#include <linux/minmax.h>
#include <linux/string.h>
#include <asm/text-patching.h>

#include "engine/space.h"

#define MAX_TRIES 16

int lac_site_locate(struct lac_site *site, const struct lac_site_descriptor *descriptor, u64 slide,
		    struct lac_space *space)
{
	u64 va = descriptor->address + slide;
	struct lac_page page;
	int err;

	err = lac_translate(space, va, &page);
	if (!err)
		err = lac_kernel_has_site(descriptor, slide, space);
	if (err)
		return err;
	site->descriptor = *descriptor;
	site->gpa = page.gpa;
	site->armed = false;
	WRITE_ONCE(site->va, va);
	return 0;
}

bool lac_site_is_single(const struct lac_site_descriptor *descriptor)
{
	return descriptor->lengths[0] >= LACUNA_TRAP_LEN;
}

/*
 * Processors promise nothing, or little, to who executes what another is writing: Intel wants it to wait elsewhere until that is
 * done (SDM 3A, handling self- and cross-modifying code), AMD only that it is one store to aligned 8 bytes (APM 2, 7.6.1). The
 * exchange sees to both, for vCPUs; that it compares loses nothing of what the VMM or a device writes next to it.
 */
static int replace(struct lac_site *site, struct kvm *kvm, struct kvm_vcpu *vcpu, const u8 *from, const u8 *to)
{
	u32 shift = site->gpa % 8;
	u64 old, new;
	int ret, i;

	ret = lac_kvm_read_hva(kvm, site->hva - shift, &old, sizeof(old));
	if (ret)
		return ret;
	for (i = 0; i < MAX_TRIES; i++) {
		if (memcmp((u8 *)&old + shift, from, LACUNA_TRAP_LEN))
			return -EILSEQ;
		new = old;
		memcpy((u8 *)&new + shift, to, LACUNA_TRAP_LEN);
		ret = lac_kvm_exchange(kvm, vcpu, site->gpa - shift, site->hva - shift, &old, new);
		if (ret <= 0)
			return ret;
	}
	return -EAGAIN;
}

int lac_site_arm(struct lac_site *site, struct kvm *kvm, struct kvm_vcpu *vcpu)
{
	int err;

	if (!site->va || site->armed)
		return 0;
	site->hva = lac_kvm_hva(kvm, site->gpa, true);
	if (!site->hva)
		return -EFAULT;
	WRITE_ONCE(site->armed, true);
	err = replace(site, kvm, vcpu, site->descriptor.bytes, lac_kvm_trap());
	if (err)
		WRITE_ONCE(site->armed, false);
	return err;
}

/*
 * Somebody has put a breakpoint over the trap: the guest's kernel a probe, or who debugs the guest through its VMM. The trap's first
 * byte is what they will put back when they go.
 */
static bool is_covered(const struct lac_site *site, struct kvm *kvm)
{
	u8 bytes[LACUNA_TRAP_LEN];

	return !lac_kvm_read_hva(kvm, site->hva, bytes, sizeof(bytes)) && bytes[0] == INT3_INSN_OPCODE &&
	       !memcmp(bytes + 1, lac_kvm_trap() + 1, sizeof(bytes) - 1);
}

/* What was written to is known by where the VMM has it: the guest may have moved its slot, or made it read-only, meanwhile. */
int lac_site_release(struct lac_site *site, struct kvm *kvm, struct kvm_vcpu *vcpu)
{
	int err;

	if (!site->va || !site->armed)
		return 0;
	err = replace(site, kvm, vcpu, lac_kvm_trap(), site->descriptor.bytes);
	if (err == -EILSEQ)
		err = is_covered(site, kvm) ? -EAGAIN : 0;
	if (err == -EFAULT)
		err = 0;
	if (!err)
		WRITE_ONCE(site->armed, false);
	return err;
}

/* Where does the guest go on when the instruction with this number of several was the last that was tried? */
static bool is_amid(enum lac_emulated done, u32 index, u32 number)
{
	switch (done) {
	case LAC_EMULATED:
	case LAC_EMULATED_EXIT:
		return index + 1 < number;
	case LAC_UNFINISHED_EXIT: /* at the instruction or behind it */
		return number > 1;
	case LAC_NOT_YET:
	case LAC_CANNOT:
		break;
	}
	return index > 0;
}

enum lac_emulated lac_site_emulate(const struct lac_site *site, struct kvm_vcpu *vcpu, bool *amid)
{
	const struct lac_site_descriptor d = site->descriptor;
	enum lac_emulated done = LAC_CANNOT;
	u32 i, at = 0;

	*amid = false;
	for (i = 0; i < min_t(u32, d.lengths_nr, LAC_MAX_DISPLACED); i++) {
		if (at + d.lengths[i] > LACUNA_SITE_BYTES)
			return LAC_CANNOT;
		done = lac_kvm_emulate(vcpu, d.bytes + at, d.lengths[i]);
		*amid = is_amid(done, i, d.lengths_nr);
		if (done != LAC_EMULATED)
			return done;
		at += d.lengths[i];
	}
	return done;
}
